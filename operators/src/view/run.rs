//! The thread of a view: a dataflow of its own, one worker, fed with differences.

use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc};

use differential_dataflow::{input::InputSession, operators::CountTotal};
use timely::{
    communication::allocator::{Allocator, thread::Thread},
    worker::Worker,
};

use super::{
    Sums,
    contributions::{Differences, Step},
};

/// What an epoch, or several that came together, made of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewUpdate {
    /// The last epoch that is in it.
    pub epoch: u64,
    /// Groups that changed; `None`: the group is gone.
    pub groups: BTreeMap<String, Option<Sums>>,
    /// Twins that are left out, because the view's code failed on them or there are too many
    /// groups.
    pub left_out: u64,
}

/// The work of the thread.
pub struct ViewRun(Box<dyn Differences>);

impl ViewRun {
    pub(super) fn new(differences: impl Differences + 'static) -> Self {
        Self(Box::new(differences))
    }

    /// Runs until the engine stops; gives every update to `publish`.
    pub fn run(self, mut publish: impl FnMut(ViewUpdate)) {
        let mut source = self.0;
        // One worker on this thread. `timely::execute_directly` wants a closure that is Sync.
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = Worker::new(timely::WorkerConfig::default(), allocator, None);
        let changed = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&changed);
        let mut input = InputSession::<u64, String, Sums>::new();
        let probe = worker.dataflow(|scope| {
            let counted = input.to_collection(scope).count_total();
            let noting = counted.inspect(move |(group, _epoch, diff)| {
                noted.borrow_mut().push((group.clone(), *diff));
            });
            noting.probe().0
        });
        while let Some(Step { differences, through, left_out }) = source.next() {
            for (group, difference) in differences {
                input.update(group, difference);
            }
            // Epochs that came together are one step.
            input.advance_to(through);
            input.flush();
            while probe.less_than(&through) {
                worker.step();
            }
            let mut groups = BTreeMap::new();
            for ((group, sums), diff) in changed.borrow_mut().drain(..) {
                // The old value goes, the new one comes, in any order.
                match diff > 0 {
                    true => drop(groups.insert(group, Some(sums))),
                    false => drop(groups.entry(group).or_insert(None)),
                }
            }
            publish(ViewUpdate { epoch: through.saturating_sub(1), groups, left_out });
        }
    }
}

impl fmt::Debug for ViewRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewRun")
    }
}
