//! Server-side apply, and kubectl's move to it.

use super::{config, replay, table};

#[tokio::test(start_paused = true)]
async fn applies_are_answered_as_recorded() {
    let s1 = |spec: &str| config(r#""name":"s1""#, spec);
    let s9 = |spec: &str| config(r#""name":"s9""#, spec);
    let status = |name: &str, status: &str| {
        format!(
            r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{"name":"{name}"}},"status":{status}}}"#
        )
    };
    let first = config(
        r#""name":"s1","labels":{"l":"1"}"#,
        r#"{"image":"x","env":[{"name":"A","value":"1"},{"name":"B"}],"tags":["t1","t2"],"command":["c"],"selector":{"k":"v"}}"#,
    );
    let rows: Vec<(&str, &str, String)> = vec![
        ("no fieldManager", "PATCH apps/s1 apply", first.clone()),
        ("create", "PATCH apps/s1?fieldManager=m1 apply", first.clone()),
        ("again no-op", "PATCH apps/s1?fieldManager=m1 apply", first.clone()),
        ("conflict 1", "PATCH apps/s1?fieldManager=m2 apply", s1(r#"{"image":"y"}"#)),
        ("conflict many", "PATCH apps/s1?fieldManager=m2 apply",
            s1(r#"{"image":"y","command":["d"],"env":[{"name":"A","value":"2"}],"selector":{"k":"w"}}"#)),
        ("force", "PATCH apps/s1?fieldManager=m2&force=true apply",
            s1(r#"{"image":"y","env":[{"name":"A","value":"2"},{"name":"C"}],"tags":["t3"]}"#)),
        ("shared same value (no conflict)", "PATCH apps/s1?fieldManager=m3 apply", s1(r#"{"image":"y"}"#)),
        ("m1 drops B,label,t2,command,selector", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","tags":["t1"]}"#)),
        ("m2 releases all (required image owned by others)", "PATCH apps/s1?fieldManager=m2 apply",
            r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"s1"}}"#.into()),
        ("update by PUT-ish merge patch as mgr u1", "PATCH apps/s1?fieldManager=u1 merge",
            r#"{"metadata":{"annotations":{"n":"1"}},"spec":{"replicas":9,"env":[{"name":"Z","value":"9"}]}}"#.into()),
        ("apply conflicts with Update manager", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","replicas":3,"env":[{"name":"Z","value":"8"}]}"#)),
        ("status apply", "PATCH apps/s1/status?fieldManager=ctl apply",
            status("s1", r#"{"phase":"P","conditions":[{"type":"Ready","status":"True"}]}"#)),
        ("status via main apply (ignored)", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y"}"#).replace("\"spec\"", "\"status\":{\"phase\":\"Q\"},\"spec\"")),
        ("scale patch then managedFields", "PATCH apps/s1/scale?fieldManager=hpa merge",
            r#"{"spec":{"replicas":4}}"#.into()),
        ("get", "GET apps/s1", String::new()),
        ("managedFields set", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","managedFields":[{"manager":"x"}]"#, r#"{"image":"y"}"#)),
        ("empty managedFields list", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","managedFields":[]"#, r#"{"image":"y"}"#)),
        ("unknown field", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y","nope":1}"#)),
        ("unknown field Strict", "PATCH apps/s1?fieldManager=m1&fieldValidation=Strict apply",
            s1(r#"{"image":"y","nope":1}"#)),
        ("dup list-map key", "PATCH apps/s1?fieldManager=m1 apply",
            s1(r#"{"image":"y","env":[{"name":"A"},{"name":"A"}]}"#)),
        ("missing list-map key", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y","env":[{"value":"A"}]}"#)),
        ("wrong type", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":5}"#)),
        ("null value", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y","paused":null,"selector":null}"#)),
        ("name mismatch", "PATCH apps/s1?fieldManager=m1 apply", config(r#""name":"other""#, r#"{"image":"y"}"#)),
        ("no name in body", "PATCH apps/s1?fieldManager=m1 apply", config("", r#"{"image":"y"}"#)),
        ("no apiVersion", "PATCH apps/s1?fieldManager=m1 apply", r#"{"kind":"App","spec":{"image":"y"}}"#.into()),
        ("wrong apiVersion", "PATCH apps/s1?fieldManager=m1 apply", s1(r#"{"image":"y"}"#).replace("/v1", "/v2")),
        ("rv mismatch", "PATCH apps/s1?fieldManager=m1 apply",
            config(r#""name":"s1","resourceVersion":"1""#, r#"{"image":"y"}"#)),
        ("create w/ rv", "PATCH apps/s9?fieldManager=m1 apply",
            config(r#""name":"s9","resourceVersion":"1""#, r#"{"image":"y"}"#)),
        ("create w/ uid", "PATCH apps/s9?fieldManager=m1 apply",
            config(r#""name":"s9","uid":"11""#, r#"{"image":"y"}"#)),
        ("status of nonexistent", "PATCH apps/s9/status?fieldManager=m1 apply", status("s9", r#"{"phase":"y"}"#)),
        ("missing required on create", "PATCH apps/s9?fieldManager=m1 apply", s9("{}")),
        ("yaml body", "PATCH apps/s9?fieldManager=m1&dryRun=All apply",
            "apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: s9}\nspec: {image: y}\n".into()),
        ("reset managedFields via merge patch []", "PATCH apps/s1 merge", r#"{"metadata":{"managedFields":[]}}"#.into()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("apply", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn kubectl_moves_to_server_side_apply_as_recorded() {
    let last = r#"{\"apiVersion\": \"tenure.dev/v1\", \"kind\": \"App\", \"metadata\": {\"annotations\": {}, \"name\": \"c1\", \"namespace\": \"default\"}, \"spec\": {\"image\": \"x\", \"replicas\": 2}}"#;
    let created = config(
        &format!(
            r#""name":"c1","annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{last}"}}"#
        ),
        r#"{"image":"x","replicas":2}"#,
    );
    let c1 = |replicas: u8| config(r#""name":"c1""#, &format!(r#"{{"image":"x","replicas":{replicas}}}"#));
    replay(
        "csa-migrate",
        &table(&[
            ("CSA create", "POST apps?fieldManager=kubectl-client-side-apply", &created),
            (
                "SSA by manager kubectl changing CSA fields",
                "PATCH apps/c1?fieldManager=kubectl&force=false apply",
                &c1(3),
            ),
            (
                "SSA by other manager changing CSA fields",
                "PATCH apps/c1?fieldManager=flux&force=false apply",
                &c1(4),
            ),
        ]),
    )
    .await;
}
