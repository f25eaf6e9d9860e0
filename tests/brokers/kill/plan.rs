//! What each run of the kill test does. Pure; a run is decided by its number and the seed.

use super::stream::mix;

/// Fail points that are passed while messages come in, and how often one may pass at the most
/// before it is the end.
const UNDER_LOAD: &[(&str, u64)] = &[
    ("letters-written", 5),
    ("letters-synced", 5),
    ("group-unwritten", 1_000),
    ("group-written", 1_000),
    ("group-synced", 1_000),
    ("group-reported", 1_000),
    ("header-synced", 4),
    ("segment-renamed", 4),
    ("segment-made", 4),
    ("spare-written", 1),
    ("spare-made", 1),
    ("sweep-begins", 1),
    ("sweep-complete", 1),
    ("segment-given-back", 5),
];

/// Those of a start, after a kill at any time.
const AT_START: &[&str] = &[
    "claim-written",
    "claim-made",
    "others-ended",
    "leftovers-removed",
    "tail-copied",
    "tail-moved",
    "tail-named",
    "start-unwritten",
    "start-written",
    "links-open",
    "seal-unwritten",
];

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// So many milliseconds after it began to work.
    Any(u64),
    /// At a fail point, under load, when it is passed for this time.
    Point(&'static str, u64),
    /// At any time as above, and the next process at a fail point of its start.
    Start(u64, &'static str),
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) at: At,
    pub(crate) workers: u64,
    /// Workers of the process that is looked at afterwards.
    pub(crate) workers_after: u64,
    /// Whether the power is cut: what follows has only what was synced.
    pub(crate) cut_power: bool,
    /// Whether epochs share a sync each second.
    pub(crate) every_second: bool,
    /// Whether a supervisor stays, and starts the process that is killed again by itself.
    pub(crate) supervised: bool,
}

impl Plan {
    /// Two of five runs are aimed, each place in turn; one of five ends in a power cut.
    pub(crate) fn of(seed: u64, run: u64) -> Self {
        let random = |nth: u64, below: u64| mix(seed ^ mix(run * 16 + nth)) % below;
        let at_ms = 800 + random(0, 4_200);
        let is_aimed = matches!(run % 5, 1 | 3);
        let aimed = run / 5 * 2 + u64::from(run % 5 == 3);
        // Of what falls together by five or ten, each with both.
        let every_second = (run + run / 5 + run / 10) % 2 == 1;
        let places = UNDER_LOAD.len() + AT_START.len();
        let place = usize::try_from(aimed).unwrap() % places;
        let at = match (is_aimed, place.checked_sub(UNDER_LOAD.len())) {
            (false, _) => At::Any(at_ms),
            (true, None) => {
                let (place, most) = UNDER_LOAD[place];
                // There is one group a second then.
                let most = if every_second { most.min(6) } else { most };
                At::Point(place, 1 + random(1, most))
            }
            (true, Some(start)) => At::Start(at_ms, AT_START[start]),
        };
        let workers = |nth| 1 + random(nth, 3);
        // Aimed ones and others.
        let cut_power = matches!(run % 10, 2 | 8);
        let (workers, workers_after) = (workers(2), workers(3));
        let supervised = run % 5 == 4;
        Self { at, workers, workers_after, cut_power, every_second, supervised }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_runs_forty_are_aimed_at_every_place_and_twenty_lose_their_power() {
        let plans: Vec<_> = (0..100).map(|run| Plan::of(7, run)).collect();
        let name = |plan: &Plan| match plan.at {
            At::Any(_) => None,
            At::Point(name, _) | At::Start(_, name) => Some(name),
        };
        let aimed: Vec<_> = plans.iter().filter_map(name).collect();
        let places: std::collections::BTreeSet<_> = aimed.iter().collect();
        assert_eq!((aimed.len(), places.len()), (40, UNDER_LOAD.len() + AT_START.len()));
        let cut: Vec<_> = plans.iter().filter(|plan| plan.cut_power).collect();
        let both = cut.iter().filter(|plan| name(plan).is_some()).count();
        assert_eq!((cut.len(), both), (20, 10));
        assert!((1..4).all(|workers| plans.iter().any(|plan| plan.workers == workers)));
        for every_second in [false, true] {
            let own: Vec<_> = plans.iter().filter(|it| it.every_second == every_second).collect();
            let of = |is: fn(&Plan) -> bool| own.iter().filter(|plan| is(plan)).count();
            assert!((45..=55).contains(&own.len()), "{}", own.len());
            assert!(of(|plan| plan.cut_power) >= 8 && of(|plan| plan.supervised) >= 8);
            assert!(of(|plan| matches!(plan.at, At::Point(..))) >= 10);
        }
        let supervised = plans.iter().filter(|plan| plan.supervised);
        assert!(supervised.clone().all(|plan| matches!(plan.at, At::Any(_))));
        assert_eq!(supervised.count(), 20);
    }
}
