//! Creation, replacement, status, scale and patches.

use serde_json::{Value, json};

use super::{E1, app, replay, table};

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table: one row per recorded request")]
async fn creations_are_answered_as_recorded() {
    let x = |name: &str| app(&format!(r#"{{"name":"{name}"}}"#), r#"{"image":"x","replicas":1}"#);
    let spec = |spec: &str| app(r#"{"name":"x5"}"#, spec);
    let meta = |name: &str, more: &str| {
        app(&format!(r#"{{"name":"{name}",{more}}}"#), r#"{"image":"x","replicas":1}"#)
    };
    let big = format!(r#""annotations":{{"a":"{}"}}"#, "x".repeat(262_145));
    let owner = r#""ownerReferences":[{"apiVersion":"v1","kind":"A","name":"q","uid":""}]"#;
    let owned = meta(
        "x2",
        r#""uid":"1","generation":7,"creationTimestamp":"2001-01-01T00:00:00Z",
        "deletionTimestamp":"2001-01-01T00:00:00Z","selfLink":"/x","managedFields":[{"manager":"m","operation":"Update"}]"#,
    );
    let huge = format!("\"{}\"", "x".repeat(4 << 20));
    let long = format!("POST apps?fieldManager={}", "x".repeat(129));
    let rows: Vec<(&str, &str, String)> = vec![
        ("ok", "POST apps", x("e1")),
        ("no content type", "POST apps", x("noct")),
        (
            "yaml",
            "POST apps application/yaml",
            "apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: yy}\nspec: {image: x, replicas: 1}\n"
                .into(),
        ),
        ("exists", "POST apps", x("e1")),
        ("bad name", "POST apps", x("Bad_Name")),
        ("no name", "POST apps", app("{}", r#"{"image":"x"}"#)),
        ("generateName", "POST apps", app(r#"{"generateName":"g-"}"#, r#"{"image":"x"}"#)),
        ("wrong apiVersion", "POST apps", x("x1").replace("tenure.dev/v1", "tenure.dev/v2")),
        ("wrong kind", "POST apps", x("x1").replace("\"App\"", "\"Nope\"")),
        ("no kind", "POST apps", r#"{"metadata": {"name": "x1"}, "spec": {"image": "x"}}"#.into()),
        ("ns mismatch", "POST apps", meta("x1", r#""namespace":"other""#)),
        ("not json", "POST apps", "{nope".into()),
        ("empty body", "POST apps", String::new()),
        ("rv set", "POST apps", meta("x1", r#""resourceVersion":"5""#)),
        ("uid+gen+ct+deletion+selfLink+managedFields set", "POST apps", owned),
        (
            "unknown fields Strict",
            "POST apps?fieldValidation=Strict",
            spec(r#"{"image":"x","bogus":1,"other":2}"#),
        ),
        (
            "unknown fields Warn",
            "POST apps?fieldValidation=Warn&dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1,"other":2}"#),
        ),
        (
            "unknown fields default",
            "POST apps?dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1}"#),
        ),
        (
            "unknown fields Ignore",
            "POST apps?fieldValidation=Ignore&dryRun=All",
            app(r#"{"name":"x3"}"#, r#"{"image":"x","bogus":1}"#),
        ),
        ("bad fieldValidation", "POST apps?fieldValidation=Foo", x("x4")),
        ("duplicate fields Strict", "POST apps?fieldValidation=Strict", spec(r#"{"image":"x","image":"y"}"#)),
        ("unknown metadata field Strict", "POST apps?fieldValidation=Strict", meta("x4", r#""foo":1"#)),
        (
            "unknown root field Strict",
            "POST apps?fieldValidation=Strict",
            x("x4").replace("\"spec\"", "\"extra\":1,\"spec\""),
        ),
        (
            "nulls (default/no default/object)",
            "POST apps?dryRun=All",
            app(r#"{"name":"x4"}"#, r#"{"image":"x","replicas":null,"paused":null,"selector":null}"#),
        ),
        ("null required", "POST apps?dryRun=All", app(r#"{"name":"x4"}"#, r#"{"image":null}"#)),
        ("wrong types", "POST apps", spec(r#"{"image":"x","replicas":"three","command":"c"}"#)),
        ("missing required", "POST apps", spec("{}")),
        (
            "spec missing",
            "POST apps",
            r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"x5"}}"#.into(),
        ),
        (
            "minimum/enum",
            "POST apps",
            spec(r#"{"image":"x","replicas":-1,"ports":[{"name":"a","port":1,"protocol":"ICMP"}]}"#),
        ),
        (
            "dup list-map key",
            "POST apps",
            spec(r#"{"image":"x","ports":[{"name":"a","port":1},{"name":"a","port":2}]}"#),
        ),
        ("dup set item", "POST apps", spec(r#"{"image":"x","tags":["a","a"]}"#)),
        ("float for int", "POST apps", spec(r#"{"image":"x","replicas":1.5}"#)),
        (
            "integral float for int",
            "POST apps?dryRun=All",
            app(r#"{"name":"x6"}"#, r#"{"image":"x","replicas":2.0}"#),
        ),
        ("bad label", "POST apps", meta("x7", r#""labels":{"a b":"not ok!"}"#)),
        ("label not string", "POST apps", meta("x7", r#""labels":{"a":1}"#)),
        ("annotation too big", "POST apps", meta("x7", &big)),
        ("bad finalizer", "POST apps?dryRun=All", meta("x7", r#""finalizers":["nodomain"]"#)),
        ("bad ownerRef", "POST apps?dryRun=All", meta("x7", owner)),
        ("body 4MB", "POST apps", huge),
        ("bad dryRun", "POST apps?dryRun=Some", x("x8")),
        ("bad fieldManager", &long, x("x8")),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("create", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn updates_are_answered_as_recorded() {
    let put = |metadata: &str, spec: &str| app(metadata, spec);
    let e1 = |more: &str, spec: &str| put(&format!(r#"{{"name":"e1"{more}}}"#), spec);
    let x = r#"{"image":"x","replicas":1}"#;
    let rv = r#","resourceVersion":"$rv""#;
    let status = |status: &str| {
        format!(
            r#"{{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{{"name":"e1","resourceVersion":"$rv"}},
                "spec":{{"image":"ignored"}},"status":{status}}}"#
        )
    };
    let scale = |rv: &str, replicas: &str| {
        format!(
            r#"{{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{{"name":"e1"{rv}}},"spec":{{"replicas":{replicas}}}}}"#
        )
    };
    let rows: Vec<(&str, &str, String)> = vec![
        ("", "POST apps", E1.into()),
        ("no rv", "PUT apps/e1", e1("", x)),
        ("stale rv", "PUT apps/e1", e1(r#","resourceVersion":"1""#, x)),
        ("garbage rv", "PUT apps/e1", e1(r#","resourceVersion":"abc""#, x)),
        ("name mismatch", "PUT apps/e1", put(r#"{"name":"other","resourceVersion":"$rv"}"#, x)),
        ("nonexistent", "PUT apps/nope", put(r#"{"name":"nope","resourceVersion":"5"}"#, x)),
        ("nonexistent no rv", "PUT apps/nope", put(r#"{"name":"nope"}"#, x)),
        (
            "server-owned metadata reset, status ignored, generation bump",
            "PUT apps/e1",
            e1(&format!(r#"{rv},"generation":9,"deletionTimestamp":"2001-01-01T00:00:00Z""#), x),
        ),
        ("no-op PUT keeps rv 1395", "PUT apps/e1", e1(rv, x)),
        ("dryRun PUT", "PUT apps/e1?dryRun=All", e1(rv, r#"{"image":"dry","replicas":1}"#)),
        (
            "status PUT (spec ignored)",
            "PUT apps/e1/status",
            status(r#"{"phase":"Up","replicas":2,"selector":"a=b"}"#),
        ),
        (
            "status PUT nulls",
            "PUT apps/e1/status",
            status(r#"{"phase":null,"replicas":null,"selector":null}"#),
        ),
        (
            "status PATCH label too",
            "PATCH apps/e1/status merge",
            r#"{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":7},"status":{"phase":"Z","unk":1}}"#
                .into(),
        ),
        ("scale GET", "GET apps/e1/scale", String::new()),
        ("scale PUT", "PUT apps/e1/scale", scale(rv, "5")),
        ("scale PUT negative", "PUT apps/e1/scale", scale(rv, "-5")),
        ("scale PUT stale rv", "PUT apps/e1/scale", scale(r#","resourceVersion":"1""#, "5")),
        ("scale PATCH", "PATCH apps/e1/scale merge", r#"{"spec":{"replicas":6}}"#.into()),
        ("scale on nonexistent", "GET apps/nope/scale", String::new()),
        ("get after", "GET apps/e1", String::new()),
    ];
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|(name, line, body)| (*name, *line, body.as_str())).collect();
    replay("update", &table(&rows)).await;
}

#[tokio::test(start_paused = true)]
async fn patches_are_answered_as_recorded() {
    let many: Vec<Value> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/spec/image", "value": "x"})).collect();
    let many = Value::Array(many).to_string();
    replay(
        "patch",
        &table(&[
            (
                "",
                "POST apps",
                r#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"e1"},
                "spec":{"image":"x","replicas":1,"env":[{"name":"A","value":"1"}],"tags":["a"]}}"#,
            ),
            ("strategic on CR", "PATCH apps/e1 strategic", r#"{"spec":{"image":"y"}}"#),
            ("merge with rv stale", "PATCH apps/e1 merge", r#"{"metadata":{"resourceVersion":"1"}}"#),
            ("merge change name", "PATCH apps/e1 merge", r#"{"metadata":{"name":"zz"}}"#),
            ("merge change uid", "PATCH apps/e1 merge", r#"{"metadata":{"uid":"zz"}}"#),
            ("merge invalid", "PATCH apps/e1 merge", r#"{"spec":{"replicas":"x"}}"#),
            ("merge not json", "PATCH apps/e1 merge", "{nope"),
            ("merge nonexistent", "PATCH apps/nope merge", r#"{"spec":{"image":"y"}}"#),
            ("merge no-op", "PATCH apps/e1 merge", r#"{"spec":{"image":"x"}}"#),
            ("json test fail", "PATCH apps/e1 json", r#"[{"op":"test","path":"/spec/image","value":"no"}]"#),
            ("json remove missing", "PATCH apps/e1 json", r#"[{"op":"remove","path":"/spec/nope"}]"#),
            (
                "json replace missing",
                "PATCH apps/e1 json",
                r#"[{"op":"replace","path":"/spec/nope","value":1}]"#,
            ),
            ("json bad doc", "PATCH apps/e1 json", "{}"),
            ("json too many", "PATCH apps/e1 json", &many),
            ("force on merge", "PATCH apps/e1?force=true merge", "{}"),
            ("unknown field Warn merge", "PATCH apps/e1 merge", r#"{"spec":{"bogus":1}}"#),
        ]),
    )
    .await;
}
