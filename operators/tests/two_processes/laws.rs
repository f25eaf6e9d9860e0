use std::{collections::BTreeMap, time::Duration};

use twinflow_operators::store::EntryKind;

use crate::cluster::{Cluster, eventually, within};

/// One and two workers in each process.
fn clusters() -> impl Iterator<Item = Cluster> {
    [1, 2].into_iter().map(Cluster::start)
}

#[test]
fn law_s3_one_message_is_acknowledged_while_the_other_process_is_silent() {
    for cluster in clusters() {
        // From every worker to every worker: what is exchanged and what is not.
        for from in 0..cluster.workers() {
            let mut client = cluster.client(from);
            for to in 0..cluster.workers() {
                let receipt = client.send(&[(&cluster.twin_of(to), 7)]);
                assert!(eventually(|| client.is_told(receipt)), "from {from} to {to}");
            }
        }
        cluster.end();
    }
}

#[test]
fn law_s5_an_idle_process_holds_nothing_up() {
    for cluster in clusters() {
        let last = cluster.workers() - 1;
        // One link of the idle process is open and silent, the others were never opened.
        let idle = cluster.client(last);
        let (mut client, twin) = (cluster.client(0), cluster.twin_of(0));
        for number in 0..200 {
            let receipt = client.send(&[(&twin, number)]);
            assert!(eventually(|| client.is_told(receipt)), "message {number}");
        }
        assert!(cluster.numbers(&twin).into_iter().eq(0..200));
        drop(idle);
        cluster.end();
    }
}

#[test]
fn law_d1_while_the_store_of_one_process_is_held_nothing_of_an_epoch_leaves() {
    for cluster in clusters() {
        let last = cluster.workers() - 1;
        let (here, there) = (cluster.twin_of(0), cluster.twin_of(last));
        for held in 0..2 {
            let mut client = cluster.client(0);
            cluster.processes[held].store.hold();
            let receipt = client.send(&[(&here, 1), (&there, 2)]);
            assert!(eventually(|| cluster.numbers(&there).contains(&2)), "it is processed");
            let early = within(Duration::from_millis(300), || {
                client.is_told(receipt) || !client.feedback.is_empty()
            });
            assert!(!early, "something left while the store of process {held} was held");
            cluster.processes[held].store.release();
            assert!(eventually(|| client.is_told(receipt)));
            client.feedback.sort();
            let mut expected = vec![(here.clone(), 1), (there.clone(), 2)];
            expected.sort();
            assert_eq!(client.feedback, expected, "before the acknowledgement that covers it");
        }
        let commits = cluster.processes.iter().map(|process| process.store.commits().len());
        assert_eq!(commits.map(|count| count > 0).collect::<Vec<_>>(), [true, false], "worker 0's");
        cluster.end();
    }
}

#[test]
fn rows_of_both_processes_are_applied_once_and_in_the_order_of_their_link() {
    for cluster in clusters() {
        let last = cluster.workers() - 1;
        let mut clients = [cluster.client(0), cluster.client(last)];
        let ids: Vec<_> = (0..50).map(|twin| format!("pump-{twin}")).collect();
        let mut sent: BTreeMap<&str, [Vec<u64>; 2]> = BTreeMap::new();
        let mut receipts = [0; 2];
        for number in 0..1000u64 {
            let (id, from) = (ids[number as usize * 7 % 50].as_str(), number as usize % 2);
            sent.entry(id).or_default()[from].push(number);
            receipts[from] = clients[from].send(&[(id, number)]);
            // Whoever sends as fast as it can fills its link: then it waits.
            if number % 100 >= 98 {
                assert!(eventually(|| clients[from].is_told(receipts[from])), "message {number}");
            }
        }
        for (id, sent) in sent {
            let numbers = cluster.numbers(id);
            for (from, sent) in sent.into_iter().enumerate() {
                let of = numbers.iter().copied().filter(|number| *number as usize % 2 == from);
                assert!(of.eq(sent), "twin {id}: {numbers:?}");
            }
        }
        cluster.end();
    }
}

#[test]
fn feedback_returns_to_the_worker_of_the_link_and_its_confirmation_is_written_there() {
    for cluster in clusters() {
        let last = cluster.workers() - 1;
        let mut client = cluster.client(last);
        let far = cluster.twin_of(0);
        let receipt = client.send(&[(&far, 3), (&far, 4)]);
        assert!(eventually(|| client.is_told(receipt)));
        assert_eq!(client.feedback, [(far.clone(), 3), (far.clone(), 4)]);
        let delivered =
            |process: usize| cluster.processes[process].store.entries(EntryKind::Delivered);
        assert!(eventually(|| delivered(1) == 2), "law D6: by whoever holds the outbox");
        assert_eq!(delivered(0), 0);
        assert_eq!(
            cluster.processes[0].store.entries(EntryKind::Feedback),
            2,
            "by the twin's owner"
        );
        cluster.end();
    }
}
