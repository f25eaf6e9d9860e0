//! What is read from the files of a log, as targets.

use twinflow_operators::{
    fuzz::Target,
    store::{EntryKind, entries},
};

use super::{
    dead_letters::{self, Place},
    format::{BLOCK, SegmentHeader, check, read_frame},
    history::{Ending, Rest, read_segment},
    marker,
    segment::heads_of,
};
use crate::store::dead_letter;

pub(crate) const TARGETS: [Target; 3] = [
    Target {
        name: "segment",
        files: &["src/store/local_log/format.rs"],
        run: segment,
        seeds: Vec::new,
    },
    Target {
        name: "state_marker",
        files: &["src/store/local_log/marker.rs"],
        run: marker::parse_any,
        seeds: || vec![marker::example(0).into(), marker::example(77).into()],
    },
    Target {
        name: "dead_letter_place",
        files: &["src/store/local_log/dead_letters.rs", "src/store/dead_letter.rs"],
        run: place,
        seeds: || vec![[&b"\x03\0\0\0why"[..], &[1; 20]].concat()],
    },
];

/// Reads a segment as it is, and with every check mended: the checks would stop almost everything.
fn segment(bytes: &[u8]) {
    read(bytes);
    read(&mended(bytes));
}

fn read(bytes: &[u8]) {
    let Ok(header) = SegmentHeader::decode(bytes) else { return };
    let (mut history, mut sound) = (header.before, 0_usize);
    let (last, ending) = read_segment(&header, bytes, &mut history, |head, body| {
        let mut changes = Vec::new();
        let whole = entries(&bytes[body]).map_while(|entry| entry).take(head.entries as usize);
        sound += whole.filter_map(|entry| dead_letters::note(&entry, &mut changes)).count();
        Ok(())
    });
    assert!(history.sequence >= header.before.sequence, "it never goes back");
    assert!(last.is_none_or(|last| last.end <= bytes.len() as u64), "{ending:?}");
    assert!(matches!(ending, Ending::Whole) || sound <= bytes.len());
    if let Ending::Unjudged { at } = ending {
        let mut rest = Rest::new(at, history.sequence + 1);
        let proof = heads_of(&header, bytes).find_map(|head| rest.look(&head));
        assert!(matches!(
            proof.unwrap_or(rest.torn()),
            Ending::Damaged { .. } | Ending::Torn { .. }
        ));
    }
}

/// The same with checks that hold, as far as its lengths lead.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some((head, rest)) = bytes.split_first_chunk_mut::<76>() else { return bytes };
    head[..8].copy_from_slice(b"TWINFLOG");
    head[8..12].copy_from_slice(&1_u32.to_le_bytes());
    let sum = crc32fast::hash(&head[..72]);
    head[72..].copy_from_slice(&sum.to_le_bytes());
    let seed = u32::from_le_bytes(*head[12..].first_chunk().unwrap_or(&[0; 4]));
    let before = 76;
    for block in (BLOCK as usize..before + rest.len()).step_by(BLOCK as usize) {
        let mut at = block;
        while let Some(frame) = rest.get_mut(at - before..).filter(|it| it.starts_with(b"TWFR")) {
            let Some((head, body)) = frame.split_at_mut_checked(56) else { break };
            let length = u32::from_le_bytes(*head[44..].first_chunk().unwrap_or(&[0; 4])) as usize;
            let Some(body) = body.get(..length) else { break };
            let sum = check(seed, at as u64, body);
            head[48..52].copy_from_slice(&sum.to_le_bytes());
            let sum = check(seed, at as u64, &head[..52]);
            head[52..56].copy_from_slice(&sum.to_le_bytes());
            at += 56 + length;
        }
    }
    bytes
}

/// The bodies of the frames of a segment: what other targets begin with.
pub(crate) fn bodies(segment: &[u8]) -> Vec<Vec<u8>> {
    let Ok(header) = SegmentHeader::decode(segment) else { return Vec::new() };
    let blocks = (BLOCK..segment.len() as u64).step_by(BLOCK as usize);
    let frames = blocks.filter_map(|at| read_frame(segment, header.seed, at));
    frames.map(|(_, body)| body.to_vec()).filter(|body| !body.is_empty()).collect()
}

fn place(bytes: &[u8]) {
    if let Some((description, place)) = dead_letter::split(bytes) {
        assert_eq!(description.len() + place.len(), bytes.len());
        if let Some(found) = Place::decode(place) {
            assert_eq!(found.encode(), place);
        }
    }
    let entry = |kind, key| twinflow_operators::store::Entry {
        kind,
        bucket: 4096,
        space: 0,
        key,
        value: bytes,
    };
    let mut changes = Vec::new();
    for kind in [EntryKind::DeadLetter, EntryKind::DeadLetterDropped, EntryKind::State] {
        let entry = entry(kind, bytes.get(..8).unwrap_or(bytes));
        let _noted = dead_letters::note(&entry, &mut changes).is_some();
        assert!(dead_letters::appended(entry).value.len() <= bytes.len());
    }
}
