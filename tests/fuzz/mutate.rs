//! Changes of inputs: flips, cuts, splices, and lengths that are lies.

use twinflow::store::Random;

/// Longer inputs say nothing new.
const LENGTH_MAX: usize = 64 << 10;

/// What means something to one parser or another.
const WORDS: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\n",
    "\r\n",
    ":",
    ",",
    "null",
    "-",
    "1e999",
    "18446744073709551616",
    "${env:N}",
    "$${",
    "*",
    "#",
    "+",
    "/",
    "\u{e9}",
    "\u{85}",
];

fn up_to(random: &mut Random, length: usize) -> usize {
    random.below(length as u64 + 1) as usize
}

/// One to five changes; `other` is another good input.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(5) {
        let at = up_to(random, bytes.len());
        match random.below(9) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            2 => lie(random, bytes, at),
            3 => bytes.truncate(at),
            4 => {
                let end = bytes.len().min(at + 1 + random.below(16) as usize);
                drop(bytes.drain(at..end));
            }
            5 => {
                let from = up_to(random, other.len());
                let end = other.len().min(from + 1 + random.below(64) as usize);
                drop(bytes.splice(at..at, other[from..end].iter().copied()));
            }
            6 => {
                let word = WORDS[random.below(WORDS.len() as u64) as usize];
                let times = [1, 1, 1, 70, 300][random.below(5) as usize];
                drop(bytes.splice(at..at, word.repeat(times).into_bytes()));
            }
            7 => {
                let from = up_to(random, bytes.len());
                let (from, end) = (from.min(at), from.max(at).min(from.min(at) + 512));
                let piece = bytes[from..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes.extend((0..random.below(20)).map(|_| b'0' + (at % 40) as u8)),
        }
        bytes.truncate(LENGTH_MAX);
    }
}

/// Writes a number over one, two, four or eight bytes: the largest, none, one too many or few.
fn lie(random: &mut Random, bytes: &mut [u8], at: usize) {
    let width = 1 << random.below(4);
    let length = bytes.len() as u64;
    let number =
        [u64::MAX, 0, length, length + 1, 0x7fff_ffff, 0x8000_0000, random.below(length + 2)]
            [random.below(7) as usize];
    let number = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
    let from = if number[0] == 0 && number[7] != 0 { 8 - width } else { 0 };
    if let Some(place) = bytes.get_mut(at..at + width) {
        place.copy_from_slice(&number[from..from + width]);
    }
}

/// Inputs that are little work to send and would be much to read: the longest that each takes.
pub(crate) fn bombs(
    target: &str,
    (body, other): (usize, usize),
) -> impl Iterator<Item = (String, Vec<u8>)> {
    let length = if target.starts_with("rest_") { body } else { other };
    let pieces: [&[u8]; 18] = [
        b"[",
        b"[1,",
        b"{\"a\":",
        b"{\"a\":[",
        b"\"",
        b"\\",
        b"\n",
        b"{}\n",
        b"a = [",
        b"[a.",
        b"a.",
        b"/",
        b"*",
        b"\x91",
        b"\x81\xa1a",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\x7f",
        b"\0",
    ];
    let repeated = pieces.into_iter().map(move |piece| {
        let what = format!("{} times {:?}", length / piece.len(), String::from_utf8_lossy(piece));
        (what, piece.repeat(length / piece.len()))
    });
    let array = [b"[", &b"1,".repeat(length / 2 - 2)[..], b"1]"].concat();
    repeated.chain([("an array of ones".to_owned(), array)])
}
