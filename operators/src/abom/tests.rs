//! What leaves comes back. Miri runs these:
//!
//! `TWINFLOW_ABOMONATION=same-machine cargo +nightly miri test -p twinflow-operators --lib
//! --features abomonation abom`

#![expect(unsafe_code, reason = "the macro's, which is local here")]

use timely::bytes::arc::BytesMut;

use super::*;
use crate::abom_row;

mod cost;

abom_row! {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Place {
        gateway: String,
        line: u32,
        alarm: bool,
        unit: [u8; 3],
    }
}

abom_row! {
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Reading {
        seq: u128,
        twin: String,
        payload: Vec<u8>,
        celsius: f64,
        place: Place,
        _pad: u64,
    }
}

fn reading(number: usize) -> Reading {
    // Lengths of all remainders by 8, so that what follows begins everywhere.
    let text = |most: usize| "abcdefghijklmnopqrstuvwxyz"[..number % most].to_owned();
    let place = Place { gateway: text(7), line: number as u32, alarm: true, unit: *b"kPa" };
    let (twin, payload) = (text(11), text(26).into_bytes());
    Reading { seq: number as u128, twin, payload, celsius: 0.5, place, _pad: 0 }
}

fn written<T: AbomRow>(rows: &Abom<T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.into_bytes(&mut bytes);
    assert_eq!((bytes.len(), bytes.len() % 8), (rows.length_in_bytes(), 0));
    // Reads each byte: Miri refuses one that nobody wrote.
    assert!(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
    bytes
}

/// As it comes out of a slab: `shift` bytes behind an aligned place.
fn received<T: AbomRow>(bytes: &[u8], shift: usize) -> Abom<T> {
    let mut slab = BytesMut::from([&vec![0; shift], bytes].concat()).freeze();
    drop(slab.extract_to(shift));
    Abom::from_bytes(slab)
}

#[test]
fn rows_come_back_as_they_were_wherever_the_slab_begins() {
    for count in [0, 1, 2, 30] {
        let rows: Vec<_> = (0..count).map(reading).collect();
        let bytes = written(&Abom::from(rows.clone()));
        for shift in 0..16 {
            let back = received::<Reading>(&bytes, shift);
            assert_eq!(back.rows(), rows);
            assert_eq!(back.rows().as_ptr() as usize % align_of::<Reading>(), 0);
            assert_eq!(back.record_count(), count as i64);
        }
    }
}

#[test]
fn received_rows_are_passed_on_copied_drained_and_pushed_to() {
    let rows: Vec<_> = (0..20).map(reading).collect();
    let bytes = written(&Abom::from(rows.clone()));
    let back = || received::<Reading>(&bytes, 8);
    // The copy stays where it is, wherever its container goes, and outlives nothing of it.
    let moved = std::thread::spawn({
        let back = Box::new(back());
        move || *back
    });
    let moved = moved.join().unwrap();
    assert_eq!(received::<Reading>(&written(&moved), 0).rows(), rows);
    let copied = moved.clone();
    drop(moved);
    assert_eq!(copied.rows(), rows);
    assert!(back().drain().eq(rows.iter().cloned()));
    let mut more = back();
    assert!(more.at_capacity());
    more.push_into(reading(77));
    assert_eq!((more.rows().len(), &more.rows()[20]), (21, &reading(77)));
    let mut stash = Some(back());
    let mut empty = Abom::<Reading>::default();
    empty.ensure_capacity(&mut stash);
    assert!(!empty.at_capacity() && empty.is_empty());
}

#[test]
fn numbers_alone_and_texts_alone_are_rows() {
    let numbers: Vec<u64> = (1..100).collect();
    assert_eq!(received::<u64>(&written(&numbers.clone().into()), 4).rows(), numbers);
    let texts: Vec<String> = (1..40).map(|n| "x".repeat(n)).collect();
    assert_eq!(received::<String>(&written(&texts.clone().into()), 1).rows(), texts);
}

fn refused<T: AbomRow>(bytes: &[u8]) -> String {
    let panic = std::panic::catch_unwind(|| received::<T>(bytes, 0).rows().len()).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn mistakes_end_the_process_before_a_row_is_read() {
    let bytes = written(&Abom::from((0..9).map(reading).collect::<Vec<_>>()));
    assert!(refused::<Place>(&bytes).starts_with("rows of another type or build"));
    for length in [0, 7, 15, 16, 40, bytes.len() - 16] {
        assert!(!refused::<Reading>(&bytes[..length]).is_empty(), "{length}");
    }
    let mut many = bytes.clone();
    many[8..16].fill(0xff);
    assert!(refused::<Reading>(&many).contains("rows of "));
}
