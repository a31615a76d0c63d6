//! Bad input gets a precise refusal and changes nothing.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::server::{APPS, Answer, TestServer, app};

/// `POST`s an App that `change` was done to; strict, as kubectl is.
async fn refused(server: &TestServer, change: impl FnOnce(&mut Value)) -> (u16, String) {
    let mut object = app("bad");
    change(&mut object);
    let answer = server.json(Method::POST, &format!("{APPS}?fieldValidation=Strict"), &object).await;
    let (code, _, message) = answer.refusal();
    (code, message)
}

async fn sent(server: &TestServer, content_type: &str, body: &[u8]) -> Answer {
    let request =
        Request::post(format!("{APPS}?fieldValidation=Strict")).header("content-type", content_type);
    server.ask(request.body(body.to_vec()).unwrap()).await
}

type Change = fn(&mut Value);

/// What is wrong, how an App gets so, and the status code and the message it is refused with.
#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<(&'static str, Change, u16, String)> {
    let strict = "App in version \"v1\" cannot be handled as a App: strict decoding error: ";
    let invalid = "App.tenure.dev \"bad\" is invalid: ";
    let long = "x".repeat(64);
    vec![
        (
            "an unknown field, with the nearest known name",
            |app| app["spec"]["instanses"] = json!(3),
            400,
            format!("{strict}unknown field \"spec.instanses\" (did you mean \"spec.instances\"?)"),
        ),
        (
            "an unknown field that is near to nothing, with those that are allowed",
            |app| app["spec"]["healthChecks"] = json!([{"exec": {"cmd": "true"}}]),
            400,
            format!(
                "{strict}unknown field \"spec.healthChecks[0].exec.cmd\" (allowed in spec.healthChecks[0].exec: command)"
            ),
        ),
        (
            "a label that is no text",
            |app| app["metadata"]["labels"] = json!({"a": "1", "x": 1}),
            400,
            "App in version \"v1\" cannot be handled as a App: json: cannot unmarshal number into Go struct field \
             ObjectMeta.labels of type string (the key is \"x\": quote its value)"
                .to_owned(),
        ),
        (
            "an unknown option of docker run",
            |app| {
                app["spec"]["container"] =
                    json!({"image": "web", "parameters": [{"key": "restart", "value": "always"}]});
            },
            422,
            format!(
                "{invalid}spec.container.parameters[0].key: Forbidden: restart may not be given: Tenure itself decides \
                 about restarts"
            ),
        ),
        (
            "a wrong type",
            |app| app["spec"]["instances"] = json!("three"),
            422,
            format!(
                "{invalid}spec.instances: Invalid value: \"string\": spec.instances in body must be of type integer: \
                 \"string\""
            ),
        ),
        (
            "a negative number",
            |app| app["spec"]["instances"] = json!(-1),
            422,
            format!(
                "{invalid}spec.instances: Invalid value: -1: spec.instances in body should be greater than or equal \
                 to 0"
            ),
        ),
        (
            "both cmd and args",
            |app| app["spec"]["args"] = json!(["a"]),
            422,
            format!("{invalid}spec.args: Forbidden: may not be given together with cmd"),
        ),
        (
            "a negative quantity",
            |app| app["spec"]["resources"] = json!({"cpus": "-500m"}),
            422,
            format!("{invalid}spec.resources.cpus: Invalid value: \"-500m\": must be greater than or equal to 0"),
        ),
        (
            "a quantity that is finer than what is counted",
            |app| app["spec"]["resources"] = json!({"cpus": 0.0001}),
            422,
            format!("{invalid}spec.resources.cpus: Invalid value: 0.0001: must be a multiple of 1m"),
        ),
        (
            "a malformed quantity",
            |app| app["spec"]["resources"] = json!({"memory": "12Q"}),
            422,
            format!(
                "{invalid}spec.resources.memory: Invalid value: \"12Q\": must be an amount of bytes such as 256Mi, \
                 1.5Gi, 500M or 1048576"
            ),
        ),
        (
            "a port name that stands twice",
            |app| app["spec"]["ports"] = json!([{"name": "http"}, {"name": "http"}]),
            422,
            format!("{invalid}spec.ports[1].name: Duplicate value: \"http\""),
        ),
        (
            "an unknown constraint operator",
            |app| app["spec"]["constraints"] = json!([{"attribute": "hostname", "operator": "ALIKE"}]),
            422,
            format!(
                "{invalid}spec.constraints[0].operator: Unsupported value: \"ALIKE\": supported values: \"CLUSTER\", \
                 \"GROUP_BY\", \"IS\", \"LIKE\", \"MAX_PER\", \"UNIQUE\", \"UNLIKE\""
            ),
        ),
        (
            "a name that is too long",
            |app| app["metadata"]["name"] = json!("x".repeat(64)),
            422,
            format!(
                "App.tenure.dev \"{long}\" is invalid: metadata.name: Invalid value: \"{long}\": must be no more than \
                 63 bytes"
            ),
        ),
        (
            "a name that is no DNS label",
            |app| app["metadata"]["name"] = json!("Web_1"),
            422,
            "App.tenure.dev \"Web_1\" is invalid: metadata.name: Invalid value: \"Web_1\": a lowercase RFC 1123 label \
             must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric \
             character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        ),
        (
            "another version",
            |app| app["apiVersion"] = json!("tenure.dev/v2"),
            400,
            "the API version in the data (tenure.dev/v2) does not match the expected API version (tenure.dev/v1)"
                .to_owned(),
        ),
        (
            "another kind",
            |app| app["kind"] = json!("Nope"),
            422,
            "Nope.tenure.dev \"bad\" is invalid: kind: Invalid value: \"Nope\": must be App".to_owned(),
        ),
        (
            "another namespace than the path's",
            |app| app["metadata"]["namespace"] = json!("shop"),
            400,
            "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
        ),
        (
            "no name",
            |app| app["metadata"] = json!({}),
            422,
            "App.tenure.dev \"\" is invalid: metadata.name: Required value: name or generateName is required"
                .to_owned(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
    let server = TestServer::start().await;
    for (what, change, code, message) in rows() {
        let told = refused(&server, change).await;
        assert_eq!((told.0, told.1.as_str()), (code, message.as_str()), "{what}");
    }
    assert_eq!(server.get(APPS).await.json()["items"], json!([]), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_told_where() {
    let server = TestServer::start().await;
    let yaml = sent(
        &server,
        "application/yaml",
        b"apiVersion: tenure.dev/v1\nkind: App\nmetadata: {name: x\nspec: 1\n",
    )
    .await;
    let (code, _, message) = yaml.refusal();
    assert!(code == 400 && message.contains("line 4"), "{message}");
    let json = sent(&server, "application/json", b"{nope").await;
    assert_eq!(
        json.refusal().2,
        "the object provided is unrecognized (must be of type App): couldn't get version/kind; json parse error: \
         invalid character 'n' looking for beginning of object key string ({nope)"
    );
    let text = sent(&server, "text/plain", b"x").await;
    let (code, reason, message) = text.refusal();
    assert_eq!((code, reason.as_str()), (415, "UnsupportedMediaType"));
    assert!(
        message.ends_with("accepted media types include: application/json, application/yaml"),
        "{message}"
    );
    let pod = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x00";
    let protobuf = sent(&server, "application/vnd.kubernetes.protobuf", pod).await;
    let (code, _, message) = protobuf.refusal();
    assert!(code == 415 && message.ends_with("Pod of v1 is not read as protobuf"), "{message}");
    let bomb = "[".repeat(1_000_000);
    assert_eq!(sent(&server, "application/json", bomb.as_bytes()).await.refusal().0, 400);
    assert_eq!(sent(&server, "application/yaml", bomb.as_bytes()).await.refusal().0, 400);
    let twice = br#"{"apiVersion":"tenure.dev/v1","kind":"App","metadata":{"name":"x"},"spec":{"cmd":"a","cmd":"b"}}"#;
    let (code, _, message) = sent(&server, "application/json", twice).await.refusal();
    assert!(
        code == 400 && message.ends_with("strict decoding error: duplicate field \"spec.cmd\""),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_beyond_the_stores_limit_is_refused_by_its_size() {
    let server = TestServer::start().await;
    let mut object = app("large");
    object["spec"]["cmd"] = json!("x".repeat(2 * 1024 * 1024));
    let answer = server.json(Method::POST, APPS, &object).await;
    let (code, reason, message) = answer.refusal();
    assert_eq!((code, reason.as_str()), (413, "RequestEntityTooLarge"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_write_is_a_conflict() {
    let server = TestServer::start().await;
    let created = server.json(Method::POST, APPS, &app("web")).await.json();
    let mut changed = created.clone();
    changed["spec"]["instances"] = json!(3);
    let path = format!("{APPS}/web");
    assert_eq!(server.json(Method::PUT, &path, &changed).await.status, 200);
    changed["spec"]["instances"] = json!(4);
    let stale = server.json(Method::PUT, &path, &changed).await;
    assert_eq!(
        stale.refusal(),
        (
            409,
            "Conflict".to_owned(),
            "Operation cannot be fulfilled on apps.tenure.dev \"web\": the object has been modified; please apply your \
             changes to the latest version and try again"
                .to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_a_warning_unless_it_is_strict() {
    let server = TestServer::start().await;
    let mut object = app("web");
    object["spec"]["bogus"] = json!(1);
    let answer = server.json(Method::POST, APPS, &object).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.headers["warning"], "299 - \"unknown field \\\"spec.bogus\\\"\"");
    assert!(answer.json()["spec"].get("bogus").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_mean_nothing_are_refused() {
    let server = TestServer::start().await;
    for (query, code, message) in [
        ("limit=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "labelSelector=a%20b%20c",
            400,
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        ("fieldSelector=spec.cmd%3Dx", 400, "field label not supported: spec.cmd"),
        (
            "watch=true&timeoutSeconds=soon",
            400,
            "timeoutSeconds: Invalid value: \"soon\": must be a whole number of seconds",
        ),
        (
            "resourceVersion=abc",
            400,
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
        ),
    ] {
        let (told, _, text) = server.get(&format!("{APPS}?{query}")).await.refusal();
        assert_eq!((told, text.as_str()), (code, message), "{query}");
    }
}
