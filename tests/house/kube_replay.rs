//! Every answer of a real apiserver that was recorded is compared with ours, or stands here with the reason why not.

use crate::answers::recordings;

/// Where they are compared: a row, or a list of names.
const COMPARED: [&str; 4] = [
    include_str!("../../src/registry/tests/replay/writes.rs"),
    include_str!("../../src/registry/tests/replay/applies.rs"),
    include_str!("../../src/registry/tests/replay/others.rs"),
    include_str!("../kube/replay.rs"),
];

const NOT_COMPARED: [(&str, &str, &str); 6] = [
    ("create", "body 2MB (etcd limit)", "it is 413 here, which says what is wrong; there a 500 of etcd"),
    (
        "routing",
        "accept protobuf only",
        "a refusal is JSON here, which every client reads; the message is compared without it",
    ),
    (
        "patch",
        "unknown field Strict merge",
        "the recording is cut; `commits::a_strict_patch_quotes_what_it_would_make` has its beginning",
    ),
    ("list", "rv=0", "the limit is kept here, which a real server may leave out of account"),
    (
        "watch",
        "yaml accept",
        "a refusal is JSON here; `watch::a_bad_revision_is_refused_before_the_stream_begins` has its words",
    ),
    ("watch", "legacy /watch/ path", "deprecated since 2018, and no client asks it"),
];

#[test]
fn every_recorded_answer_is_compared_or_has_a_reason_why_not() {
    let compared = |name: &str| COMPARED.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let recordings = recordings();
    for (section, name) in recordings.keys() {
        let excused = NOT_COMPARED.iter().any(|row| (row.0, row.1) == (section.as_str(), name.as_str()));
        let elsewhere = recordings.keys().any(|(other, it)| it == name && other != section);
        assert!(excused || compared(name), "{section}: {name:?} is compared nowhere");
        assert!(
            !excused || elsewhere || !compared(name),
            "{section}: {name:?} is compared, and needs no excuse"
        );
    }
    for (section, name, _) in NOT_COMPARED {
        assert!(
            recordings.contains_key(&(section.to_owned(), name.to_owned())),
            "{section}: {name} is not recorded"
        );
    }
}
