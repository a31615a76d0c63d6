//! Deletions and lists.

use super::{E1, config, replay, table};

#[tokio::test(start_paused = true)]
async fn deletions_are_answered_as_recorded() {
    let app = |name: &str, more: &str| {
        config(&format!(r#""name":"{name}"{more}"#), r#"{"image":"x","replicas":1}"#)
    };
    let background = r#"{"propagationPolicy":"Background"}"#;
    let rows: Vec<(&str, &str, String)> = vec![
        ("", "POST apps", app("d1", "")),
        ("", "POST apps", app("d2", r#","finalizers":["tenure.dev/x"]"#)),
        ("", "POST apps", app("d3", "")),
        ("", "POST apps", app("d4", "")),
        ("", "POST apps", app("d5", "")),
        ("bad precondition uid", "DELETE apps/d1", r#"{"preconditions":{"uid":"nope"}}"#.into()),
        ("bad precondition rv", "DELETE apps/d1", r#"{"preconditions":{"resourceVersion":"1"}}"#.into()),
        ("bad policy", "DELETE apps/d1", r#"{"propagationPolicy":"Nope"}"#.into()),
        (
            "both orphan+policy",
            "DELETE apps/d1",
            r#"{"propagationPolicy":"Orphan","orphanDependents":true}"#.into(),
        ),
        ("dryRun", "DELETE apps/d1?dryRun=All", background.into()),
        ("plain", "DELETE apps/d1", background.into()),
        ("again", "DELETE apps/d1", background.into()),
        ("finalizer", "DELETE apps/d2", background.into()),
        ("finalizer again", "DELETE apps/d2", background.into()),
        (
            "add finalizer while deleting",
            "PATCH apps/d2 merge",
            r#"{"metadata":{"finalizers":["tenure.dev/x","tenure.dev/y"]}}"#.into(),
        ),
        ("spec change while deleting", "PATCH apps/d2 merge", r#"{"spec":{"replicas":3}}"#.into()),
        (
            "unset deletionTimestamp",
            "PATCH apps/d2 merge",
            r#"{"metadata":{"deletionTimestamp":null}}"#.into(),
        ),
        ("remove last finalizer", "PATCH apps/d2 merge", r#"{"metadata":{"finalizers":null}}"#.into()),
        ("gone", "GET apps/d2", String::new()),
        ("foreground", "DELETE apps/d3", r#"{"propagationPolicy":"Foreground"}"#.into()),
        ("orphan", "DELETE apps/d4", r#"{"propagationPolicy":"Orphan"}"#.into()),
        ("policy in query", "DELETE apps/d5?propagationPolicy=Background", String::new()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("delete", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn bad_lists_are_answered_as_recorded() {
    replay(
        "list",
        &table(&[
            ("", "POST apps", E1),
            ("continue + rv", "GET apps?limit=2&resourceVersion=5&continue=eyJ2Ijoi", ""),
            ("rv garbage", "GET apps?resourceVersion=abc", ""),
            ("exact rv=1", "GET apps?resourceVersion=1&resourceVersionMatch=Exact", ""),
            ("match without rv", "GET apps?resourceVersionMatch=Exact", ""),
            ("match Exact rv=0", "GET apps?resourceVersion=0&resourceVersionMatch=Exact", ""),
            ("bad match", "GET apps?resourceVersion=1&resourceVersionMatch=Foo", ""),
            ("field sel unsupported", "GET apps?fieldSelector=spec.image=x", ""),
            ("label sel bad", "GET apps?labelSelector=a+b+c", ""),
            ("sendInitialEvents on list", "GET apps?sendInitialEvents=true", ""),
            ("bad limit", "GET apps?limit=x", ""),
        ]),
    )
    .await;
}
