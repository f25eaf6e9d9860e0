//! An export, and the JSON form of a state, as targets.

use twinflow_operators::fuzz::Target;

use super::{import, transcode};

pub(crate) const TARGETS: [Target; 2] = [
    Target {
        name: "export",
        files: &["src/state/import.rs", "src/state/export.rs", "src/state/check.rs"],
        run: export,
        seeds: || vec![example()],
    },
    Target {
        name: "transcode",
        files: &["src/state/transcode.rs"],
        run: |bytes| {
            if let Some(json) = transcode::to_json(bytes) {
                assert_eq!(transcode::from_json(&json).as_deref(), Some(bytes));
            }
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _stored = transcode::from_json(text);
            }
        },
        seeds: || {
            let state = (7, "text", [1.5, -2.0], (Some(true), "\u{e9}"));
            vec![
                rmp_serde::to_vec_named(&state).expect("it can be stored"),
                b"{\"a\":[1]}".to_vec(),
            ]
        },
    },
];

/// Reads it as it is, and with a last line that fits, since else nearly everything ends there.
fn export(bytes: &[u8]) {
    let read = |mut bytes: &[u8]| {
        let (mut lines, head) = import::begin(&mut bytes).ok()?;
        import::entries_of(&mut lines, head, |_| Ok(())).ok()
    };
    let _twins = read(bytes);
    let Some(end) = bytes.windows(7).rposition(|at| at == b"{\"end\":") else { return };
    let text = &bytes[..end];
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let twins = text.windows(9).filter(|at| at == b"{\"twin\":{").count();
    let crc = crc32fast::hash(text);
    let last =
        format!("{{\"end\":{{\"lines\":{lines},\"twins\":{twins},\"crc32\":\"{crc:08x}\"}}}}\n");
    let _twins = read(&[text, last.as_bytes()].concat());
}

fn example() -> Vec<u8> {
    let lines = "\
{\"twinflow_state\":{\"format\":1,\"generation\":2,\"epoch\":9,\"time_us\":7,\
\"dead_letters_newest\":1,\"models\":{\"0\":\"pumps\"},\"connections\":{\"0\":\"web\"}}}
{\"twin\":{\"model\":\"pumps\",\"id\":\"a\",\"version\":1,\"state\":{\"n\":[1,2.5,\"x\"]},\
\"connection\":\"web\",\"names\":[[\"site\",\"7\"]]}}
{\"twin\":{\"model\":\"pumps\",\"id\":\"b\",\"version\":1,\"stored\":\"gaFuAQ==\"}}
{\"message_id\":{\"model\":\"pumps\",\"key\":\"AQBhAABpZA==\",\"value\":\"kwkBxAEx\"}}
{\"position\":{\"connection\":\"web\",\"topic\":\"t\",\"partition\":1,\"next\":77}}
{\"dead_letter\":{\"letter\":{\"number\":1,\"kind\":\"failed\",\"model\":\"pumps\",\"twin\":\"a\",\
\"connection\":\"web\",\"partition\":null,\"position\":null,\"reason\":\"why\",\"attempts\":1,\
\"at\":5,\"epoch\":3,\"payload_bytes\":2},\"payload\":\"e30=\"}}
{\"end\":{\"lines\":6,\"twins\":2,\"crc32\":\"00000000\"}}
";
    lines.into()
}
