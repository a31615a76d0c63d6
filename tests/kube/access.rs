//! Who may do what: tokens, roles, reviews, impersonation, the audit log.

use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};

use crate::cli::{refused, shown};
use crate::kubectl::Kubectl;
use crate::server::{APPS, Answer, TestServer, app};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// Somebody with a token of their own.
pub(crate) struct Person(kube::Client);

impl Person {
    async fn with(server: &TestServer, token: &str) -> Person {
        let mut config = kube::config::Kubeconfig::read_from(&server.kubeconfig).unwrap();
        config.auth_infos[0].auth_info.as_mut().unwrap().token = Some(token.to_owned().into());
        let mut config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        config.default_retry = false;
        Person(kube::Client::try_from(config).unwrap())
    }

    /// A ServiceAccount of `default`, made with its token.
    pub(crate) async fn account(server: &TestServer, name: &str) -> Person {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        assert_eq!(server.json(Method::POST, ACCOUNTS, &account).await.status, 201);
        Person::with(server, &token(server, name).await).await
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
        Answer::of(self.0.send(request).await.unwrap()).await
    }

    /// A ServiceAccount of `default` that is there.
    pub(crate) async fn known(server: &TestServer, name: &str) -> Person {
        Person::with(server, &token(server, name).await).await
    }

    /// One of `default` in so many places at once, each with a connection of its own.
    pub(crate) async fn accounts(server: &TestServer, name: &str, count: usize) -> Vec<Person> {
        let first = Person::account(server, name).await;
        let token = token(server, name).await;
        let mut all = vec![first];
        while all.len() < count {
            all.push(Person::with(server, &token).await);
        }
        all
    }

    /// The head of an answer whose body goes on for as long as it is kept.
    pub(crate) async fn open(&self, path: &str) -> http::Response<Body> {
        self.0.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.0.send(request).await.unwrap()).await
    }

    /// The status of an answer whose body may never end.
    pub(crate) async fn begin(&self, request: Request<Body>) -> u16 {
        self.0.send(request).await.unwrap().status().as_u16()
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.0.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()).await
    }

    async fn merge(&self, path: &str, patch: &Value) -> Answer {
        let request = Request::patch(path).header("content-type", "application/merge-patch+json");
        let request = request.body(Body::from(patch.to_string().into_bytes())).unwrap();
        Answer::of(self.0.send(request).await.unwrap()).await
    }
}

async fn token(server: &TestServer, account: &str) -> String {
    let answer = server.json(Method::POST, &format!("{ACCOUNTS}/{account}/token"), &json!({})).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["status"]["token"].as_str().unwrap().to_owned()
}

pub(crate) fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": resources})
}

/// Gives `account` of `default` these rules in `default`.
pub(crate) async fn permit(server: &TestServer, account: &str, rules: &Value) {
    let role = json!({"metadata": {"name": account}, "rules": rules});
    let created = server.json(Method::POST, &format!("{RBAC}/namespaces/default/roles"), &role).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let binding = json!({
        "metadata": {"name": account}, "roleRef": {"kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}],
    });
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let created = server.json(Method::POST, &bindings, &binding).await;
    assert_eq!(created.status, 201, "{}", created.text());
    // Permissions are those that the cache shows; this read waits for it.
    server.get(&bindings).await;
}

/// The same everywhere.
async fn permit_everywhere(server: &TestServer, account: &str, rules: &Value) {
    let role = json!({"metadata": {"name": format!("test:{account}")}, "rules": rules});
    assert_eq!(server.json(Method::POST, &format!("{RBAC}/clusterroles"), &role).await.status, 201);
    let binding = json!({
        "metadata": {"name": format!("test:{account}")},
        "roleRef": {"kind": "ClusterRole", "name": format!("test:{account}")},
        "subjects": [{"kind": "User", "name": format!("system:serviceaccount:default:{account}")}],
    });
    let bindings = format!("{RBAC}/clusterrolebindings");
    assert_eq!(server.json(Method::POST, &bindings, &binding).await.status, 201);
    server.get(&bindings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_role_permits_is_denied_and_a_role_permits_what_it_names() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    let (code, reason, message) = bot.get(APPS).await.refusal();
    assert_eq!(
        (code, reason.as_str(), message.as_str()),
        (
            403,
            "Forbidden",
            "apps.tenure.dev is forbidden: User \"system:serviceaccount:default:bot\" cannot list resource \"apps\" in \
             API group \"tenure.dev\" in the namespace \"default\""
        )
    );
    for path in ["/api/v1/namespaces", "/apis/tenure.dev/v1/apps"] {
        let (code, _, message) = bot.get(path).await.refusal();
        assert!(code == 403 && message.ends_with("at the cluster scope"), "{message}");
    }
    let (code, _, message) = bot.get("/metrics").await.refusal();
    assert!(code == 403 && message.ends_with("cannot get path \"/metrics\""), "{message}");
    // Everybody who is somebody may find out what there is.
    for path in ["/api", "/apis", "/apis/tenure.dev/v1", "/openapi/v2", "/openapi/v3"] {
        assert_eq!(bot.get(path).await.status, 200, "{path}");
    }

    permit(&server, "bot", &json!([rule(&["get", "list", "create", "patch"], "tenure.dev", &["apps"])]))
        .await;
    assert_eq!(bot.json(Method::POST, APPS, &app("web")).await.status, 201);
    assert_eq!(bot.get(APPS).await.status, 200);
    assert_eq!(bot.merge(&format!("{APPS}/web"), &json!({"spec": {"instances": 1}})).await.status, 200);
    for (method, path) in [
        (Method::DELETE, format!("{APPS}/web")),
        (Method::DELETE, APPS.to_owned()),
        (Method::PUT, format!("{APPS}/web")),
        (Method::GET, format!("{APPS}/web/status")),
        (Method::GET, format!("{APPS}/web/scale")),
        (Method::GET, format!("{APPS}?watch=true")),
        (Method::GET, "/apis/tenure.dev/v1/apps".to_owned()),
        (Method::GET, "/apis/tenure.dev/v1/namespaces/kube-system/apps".to_owned()),
        (Method::GET, "/apis/tenure.dev/v1/namespaces/default/tasks/x/log".to_owned()),
        (Method::GET, SECRETS.to_owned()),
        (Method::POST, format!("{ACCOUNTS}/bot/token")),
    ] {
        let answer = bot.json(method.clone(), &path, &json!({})).await;
        assert_eq!(answer.refusal().0, 403, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_creates_only_what_its_applier_may_create() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    permit(&server, "bot", &json!([rule(&["patch"], "tenure.dev", &["apps"])])).await;
    let apply = async || {
        let request = Request::patch(format!("{APPS}/web?fieldManager=bot&force=true"))
            .header("content-type", "application/apply-patch+yaml");
        let body = Body::from(app("web").to_string().into_bytes());
        Answer::of(bot.0.send(request.body(body).unwrap()).await.unwrap()).await
    };
    let (code, _, message) = apply().await.refusal();
    assert!(code == 403 && message.contains("cannot create resource \"apps\""), "{message}");
    assert_eq!(server.json(Method::POST, APPS, &app("web")).await.status, 201);
    assert_eq!(apply().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_account_and_with_the_secret_that_it_is_bound_to() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    assert_eq!(bot.get("/apis").await.status, 200);
    let secret = json!({"metadata": {"name": "bond"}});
    assert_eq!(server.json(Method::POST, SECRETS, &secret).await.status, 201);
    let request = json!({"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "bond"}}});
    let path = format!("{ACCOUNTS}/bot/token");
    let answer = server.json(Method::POST, &path, &request).await.json();
    let bound = Person::with(&server, answer["status"]["token"].as_str().unwrap()).await;
    assert_eq!(bound.get("/apis").await.status, 200);
    assert_eq!(server.json(Method::DELETE, &format!("{SECRETS}/bond"), &Value::Null).await.status, 200);
    // What was answered is seen: the read waits until the cache shows it.
    server.get(SECRETS).await;
    assert_eq!((bound.get("/apis").await.status, bot.get("/apis").await.status), (401, 200));
    assert_eq!(server.json(Method::DELETE, &format!("{ACCOUNTS}/bot"), &Value::Null).await.status, 200);
    server.get(ACCOUNTS).await;
    assert_eq!(bot.get("/apis").await.status, 401);

    for (request, expected) in [
        (json!({"spec": {"expirationSeconds": 10}}), "may not specify a duration less than 10 minutes"),
        (json!({"spec": {"boundObjectRef": {"kind": "Pod", "name": "p"}}}), "supported values: \"Secret\""),
    ] {
        let account = json!({"metadata": {"name": "other"}});
        server.json(Method::POST, ACCOUNTS, &account).await;
        let answer = server.json(Method::POST, &format!("{ACCOUNTS}/other/token"), &request).await;
        let (code, _, message) = answer.refusal();
        assert!(code == 422 && message.contains(expected), "{message}");
    }
    let missing = server.json(Method::POST, &format!("{ACCOUNTS}/nobody/token"), &json!({})).await;
    assert_eq!(missing.refusal().0, 404);
}

/// A Secret by which `token` stands for `user`.
fn stored(token: &str, user: &str, groups: &str) -> Value {
    use sha2::Digest;
    let hash: String = sha2::Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"metadata": {"name": format!("token-{}", &hash[..16])}, "type": "tenure.dev/token",
        "stringData": {"hash": hash, "user": user, "groups": groups}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_token_holds_no_token_and_is_revoked_at_once() {
    let server = TestServer::start().await;
    let namespace = json!({"metadata": {"name": "kube-system"}});
    server.json(Method::POST, "/api/v1/namespaces", &namespace).await;
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    let secret = stored("correct horse", "ann", "dev");
    let created = server.json(Method::POST, secrets, &secret).await;
    assert_eq!(created.status, 201, "{}", created.text());
    server.get(secrets).await;
    let ann = Person::with(&server, "correct horse").await;
    let who = ann.json(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!(
        who.json()["status"]["userInfo"],
        json!({"username": "ann", "groups": ["dev", "system:authenticated"]})
    );
    let binding = json!({"metadata": {"name": "dev"}, "roleRef": {"kind": "ClusterRole", "name": "dev"},
        "subjects": [{"kind": "Group", "name": "dev"}]});
    let role = json!({"metadata": {"name": "dev"}, "rules": [rule(&["list"], "tenure.dev", &["apps"])]});
    server.json(Method::POST, &format!("{RBAC}/clusterroles"), &role).await;
    server.json(Method::POST, &format!("{RBAC}/clusterrolebindings"), &binding).await;
    server.get(&format!("{RBAC}/clusterrolebindings")).await;
    assert_eq!(ann.get("/apis/tenure.dev/v1/apps").await.status, 200);
    let name = secret["metadata"]["name"].as_str().unwrap();
    assert_eq!(server.json(Method::DELETE, &format!("{secrets}/{name}"), &Value::Null).await.status, 200);
    server.get(secrets).await;
    assert_eq!(ann.get("/apis/tenure.dev/v1/apps").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_would_be_good_for_nothing_is_refused() {
    let server = TestServer::start().await;
    server.json(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "kube-system"}})).await;
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    for (field, value, expected) in [
        ("hash", "abc", "data.hash: Invalid value: null: must be the SHA-256 of the token in lower-case hex"),
        ("user", "", "data.user: Required value"),
        ("user", "system:admin", "data.user: Forbidden: names that begin with system: are not for people"),
        (
            "groups",
            "dev,system:masters",
            "data.groups: Forbidden: groups that begin with system: are not for people",
        ),
        ("expiration", "tomorrow", "data.expiration: Invalid value: null: must be a time such as"),
    ] {
        let mut secret = stored("t", "ann", "");
        secret["stringData"][field] = json!(value);
        let (code, _, message) = server.json(Method::POST, secrets, &secret).await.refusal();
        assert!(code == 422 && message.contains(expected), "{message}");
    }
    let elsewhere = server.json(Method::POST, SECRETS, &stored("t", "ann", "")).await.refusal().2;
    assert!(elsewhere.contains("Secrets of type tenure.dev/token stand in kube-system"), "{elsewhere}");
}

#[tokio::test]
async fn the_cli_makes_lists_and_revokes_tokens() {
    let server = TestServer::start().await;
    server.json(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "kube-system"}})).await;
    let made = shown(&server, &["token", "create", "ann", "--group", "dev", "--group", "ops"]).await;
    let ann = Person::with(&server, made.trim()).await;
    server.get("/api/v1/namespaces/kube-system/secrets").await;
    assert_eq!(ann.get("/apis").await.status, 200);
    let listed = shown(&server, &["token", "list"]).await;
    let row = listed.lines().nth(1).unwrap();
    assert!(row.contains("ann") && row.contains("dev,ops") && row.contains("never"), "{listed}");
    assert!(!listed.contains(made.trim()), "it is shown once");
    let name = row.split(' ').next().unwrap();
    shown(&server, &["token", "revoke", name]).await;
    server.get("/api/v1/namespaces/kube-system/secrets").await;
    assert_eq!(ann.get("/apis").await.status, 401);
    let told = refused(&server, &["token", "create", "system:x"]).await;
    assert!(told.contains("names that begin with system: are not for people"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_more_than_they_have() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    let all = ["get", "list", "create", "update", "patch"];
    permit(
        &server,
        "bot",
        &json!([
            rule(&all, "rbac.authorization.k8s.io", &["roles", "rolebindings"]),
            rule(&all, "", &["secrets"]),
            rule(&["get"], "tenure.dev", &["apps"])
        ]),
    )
    .await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let apps = |name: &str, verbs: &[&str]| json!({"metadata": {"name": name}, "rules": [rule(verbs, "tenure.dev", &["apps"])]});
    let (code, _, message) = bot.json(Method::POST, &roles, &apps("more", &["delete"])).await.refusal();
    assert!(
        code == 403 && message.contains("attempting to grant RBAC permissions not currently held"),
        "{message}"
    );
    assert!(message.contains(r#"Verbs:["delete"]"#), "{message}");
    assert_eq!(bot.json(Method::POST, &roles, &apps("same", &["get"])).await.status, 201);
    let patched = bot.merge(&format!("{roles}/same"), &json!({"rules": [rule(&["*"], "*", &["*"])]})).await;
    assert_eq!(patched.refusal().0, 403);
    // Labels are no rules, whoever made the role.
    assert_eq!(server.json(Method::POST, &roles, &apps("big", &["delete"])).await.status, 201);
    assert_eq!(
        bot.merge(&format!("{roles}/big"), &json!({"metadata": {"labels": {"a": "b"}}})).await.status,
        200
    );

    let binding = |name: &str, role: &str| {
        json!({"metadata": {"name": name}, "roleRef": {"kind": "Role", "name": role},
            "subjects": [{"kind": "User", "name": "ann"}]})
    };
    assert_eq!(bot.json(Method::POST, &bindings, &binding("b1", "big")).await.refusal().0, 403);
    assert_eq!(bot.json(Method::POST, &bindings, &binding("b2", "not-there-yet")).await.refusal().0, 403);
    assert_eq!(bot.json(Method::POST, &bindings, &binding("b3", "same")).await.status, 201);
    let system = "/api/v1/namespaces/kube-system";
    server.json(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": "kube-system"}})).await;
    let role = json!({"metadata": {"name": "bot"}, "rules": [rule(&["create"], "", &["secrets"])]});
    server.json(Method::POST, &format!("{RBAC}/clusterroles"), &role).await;
    let may = json!({"metadata": {"name": "bot"}, "roleRef": {"kind": "ClusterRole", "name": "bot"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}]});
    server.json(Method::POST, &format!("{RBAC}/namespaces/kube-system/rolebindings"), &may).await;
    server.get(&format!("{RBAC}/namespaces/kube-system/rolebindings")).await;
    let token = bot.json(Method::POST, &format!("{system}/secrets"), &stored("t", "ann", "")).await;
    assert!(token.refusal().2.contains("to be user \"ann\""), "{}", token.text());
    let plain = json!({"metadata": {"name": "plain"}, "stringData": {"a": "b"}});
    assert_eq!(bot.json(Method::POST, SECRETS, &plain).await.status, 201);

    // Who may escalate or bind is not asked.
    permit_everywhere(
        &server,
        "bot",
        &json!([{"verbs": ["bind", "escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]}]),
    )
    .await;
    server.get(&format!("{RBAC}/clusterrolebindings")).await;
    assert_eq!(bot.json(Method::POST, &roles, &apps("more", &["delete"])).await.status, 201);
    assert_eq!(bot.json(Method::POST, &bindings, &binding("b1", "big")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_gathers_gives_what_others_are_labelled_with_and_only_an_administrator_makes_one() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    let roles = format!("{RBAC}/clusterroles");
    let gathers = json!({"metadata": {"name": "test:bot"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-bot": "true"}}]}});
    let made = server.json(Method::POST, &roles, &gathers).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let binding = json!({"metadata": {"name": "gathering"}, "roleRef": {"kind": "ClusterRole", "name": "test:bot"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}]});
    server.json(Method::POST, &format!("{RBAC}/clusterrolebindings"), &binding).await;
    assert_eq!(bot.get(APPS).await.status, 403);
    let labelled = json!({"metadata": {"name": "widgets", "labels": {"to-bot": "true"}}, "rules": [
        rule(&["list"], "tenure.dev", &["apps"]),
        rule(&["get", "create", "update", "patch"], "rbac.authorization.k8s.io", &["clusterroles"])]});
    server.json(Method::POST, &roles, &labelled).await;
    server.get(&roles).await;
    assert_eq!(bot.get(APPS).await.status, 200);
    // Who may write roles and holds little may not write one that would come to hold all.
    let all = json!({"metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}]}});
    let (code, _, message) = bot.json(Method::POST, &roles, &all).await.refusal();
    assert!(code == 403 && message.contains("must have cluster-admin privileges"), "{message}");
    let wider = json!({"aggregationRule": all["aggregationRule"]});
    assert_eq!(bot.merge(&format!("{roles}/test:bot"), &wider).await.refusal().0, 403);
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    assert_eq!(bot.merge(&format!("{roles}/test:bot"), &label).await.status, 200);
    let strange = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]}});
    let request =
        Request::patch(format!("{roles}/test:bot")).header("content-type", "application/merge-patch+json");
    let refused = server.ask(request.body(strange.to_string().into_bytes()).unwrap()).await.refusal();
    assert!(refused.0 == 422 && refused.2.contains("supported values: \"In\", \"NotIn\""), "{}", refused.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_stuck_is_let_go_by_its_finalize() {
    let server = TestServer::start().await;
    let namespaces = "/api/v1/namespaces";
    server.json(Method::POST, namespaces, &json!({"metadata": {"name": "shop"}})).await;
    let path = format!("{namespaces}/shop");
    let mut going = server.json(Method::DELETE, &path, &json!({})).await.json();
    assert_eq!(
        (&going["status"]["phase"], &going["spec"]["finalizers"]),
        (&json!("Terminating"), &json!(["kubernetes"]))
    );
    going["metadata"]["labels"]["a"] = json!("b");
    going["spec"]["finalizers"] = json!([]);
    let kept = server.json(Method::PUT, &path, &going).await.json();
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]), "not by the object itself");
    going["metadata"]["resourceVersion"] = kept["metadata"]["resourceVersion"].clone();
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(server.json(method, &format!("{path}/finalize"), &json!({})).await.refusal().0, 405);
    }
    assert_eq!(server.json(Method::PUT, &format!("{APPS}/x/finalize"), &going).await.status, 404);
    let bot = Person::account(&server, "bot").await;
    assert_eq!(bot.json(Method::PUT, &format!("{path}/finalize"), &going).await.refusal().0, 403);
    let gone = server.json(Method::PUT, &format!("{path}/finalize"), &going).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_is_acted_as_where_that_is_permitted() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    let who = async |person: &kube::Client, headers: &[(&str, &str)]| {
        let mut request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(person.send(request.body(Body::from(b"{}".to_vec())).unwrap()).await.unwrap()).await
    };
    let answer =
        who(&server.client, &[("impersonate-user", "ann"), ("impersonate-group", "dev")]).await.json();
    assert_eq!(
        answer["status"]["userInfo"],
        json!({"username": "ann", "groups": ["dev", "system:authenticated"]})
    );
    let account = who(&server.client, &[("impersonate-user", "system:serviceaccount:shop:x")]).await.json();
    assert!(account["status"]["userInfo"]["groups"].to_string().contains("system:serviceaccounts:shop"));
    // The rights are those of whom they act as.
    let request = Request::get(APPS).header("impersonate-user", "ann").body(Body::empty()).unwrap();
    assert_eq!(Answer::of(server.client.send(request).await.unwrap()).await.refusal().0, 403);
    let (code, _, message) = who(&bot.0, &[("impersonate-user", "ann")]).await.refusal();
    assert!(code == 403 && message.contains("cannot impersonate resource \"users\""), "{message}");
    let masters = [("impersonate-user", "ann"), ("impersonate-group", "system:masters")];
    permit_everywhere(&server, "bot", &json!([rule(&["impersonate"], "", &["users"])])).await;
    server.get(&format!("{RBAC}/clusterrolebindings")).await;
    assert_eq!(who(&bot.0, &masters[..1]).await.status, 201);
    assert!(who(&bot.0, &masters).await.refusal().2.contains("resource \"groups\""));
    assert_eq!(who(&bot.0, &masters[1..]).await.refusal().0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_tell_what_the_roles_say() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    permit(&server, "bot", &json!([rule(&["get"], "tenure.dev", &["apps"])])).await;
    let authorization = "/apis/authorization.k8s.io/v1";
    let review = |verb: &str, namespace: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "group": "tenure.dev", "resource": "apps", "namespace": namespace}}});
    let path = format!("{authorization}/selfsubjectaccessreviews");
    for (verb, namespace, allowed) in
        [("get", "default", true), ("list", "default", false), ("get", "", false)]
    {
        let answer = bot.json(Method::POST, &path, &review(verb, namespace)).await;
        assert_eq!(
            (answer.status, answer.json()["status"]["allowed"].clone()),
            (201, json!(allowed)),
            "{verb} {namespace}"
        );
    }
    let path = format!("{authorization}/subjectaccessreviews");
    assert_eq!(bot.json(Method::POST, &path, &review("get", "default")).await.refusal().0, 403);
    let mut about = review("get", "default");
    about["spec"]["user"] = json!("system:serviceaccount:default:bot");
    assert_eq!(server.json(Method::POST, &path, &about).await.json()["status"]["allowed"], true);
    let rules = json!({"spec": {"namespace": "default"}});
    let answer =
        bot.json(Method::POST, &format!("{authorization}/selfsubjectrulesreviews"), &rules).await.json();
    assert!(answer["status"]["resourceRules"].as_array().unwrap().contains(&rule(
        &["get"],
        "tenure.dev",
        &["apps"]
    )));
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let known = json!({"spec": {"token": token(&server, "bot").await}});
    let answer = server.json(Method::POST, reviews, &known).await.json();
    assert_eq!(
        (&answer["status"]["authenticated"], &answer["status"]["user"]["username"]),
        (&json!(true), &json!("system:serviceaccount:default:bot"))
    );
    let unknown = server.json(Method::POST, reviews, &json!({"spec": {"token": "x"}})).await.json();
    assert_eq!(unknown["status"]["authenticated"], false);
    assert_eq!(server.get(reviews).await.refusal().0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_every_change_and_denial_before_its_answer_and_no_content() {
    let server = TestServer::start().await;
    let bot = Person::account(&server, "bot").await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "tell-nobody"}});
    assert_eq!(server.json(Method::POST, SECRETS, &secret).await.status, 201);
    assert_eq!(bot.get(SECRETS).await.status, 403);
    assert_eq!(server.get(SECRETS).await.status, 200);
    let text = std::fs::read_to_string(server.folder.path().join("audit/audit.log")).unwrap();
    assert!(!text.contains("tell-nobody") && !text.contains("dGVsbC1ub2JvZHk="), "{text}");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = events
        .iter()
        .map(|it| {
            let object = &it["objectRef"];
            let part = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (user, resource) = (part(&it["user"]["username"]), part(&object["resource"]));
            format!(
                "{user} {} {resource} {} {}",
                part(&it["verb"]),
                part(&object["name"]),
                it["responseStatus"]["code"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "admin create serviceaccounts - 201",
            "admin create serviceaccounts bot 201",
            "admin create secrets - 201",
            "system:serviceaccount:default:bot list secrets - 403",
        ]
    );
    assert_eq!(events[1]["objectRef"]["subresource"], "token");
    assert_eq!(events[1]["requestURI"], format!("{ACCOUNTS}/bot/token"));
    assert!(events.iter().all(|it| it["apiVersion"] == "audit.k8s.io/v1" && it["level"] == "Metadata"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_makes_roles_accounts_and_tokens_and_asks_about_them() {
    for (server, kubectl) in Kubectl::all().await {
        kubectl.ok(&["create", "serviceaccount", "bot"]).await;
        kubectl.ok(&["create", "role", "reader", "--verb=get,list", "--resource=apps.tenure.dev"]).await;
        kubectl.ok(&["create", "rolebinding", "bot", "--role=reader", "--serviceaccount=default:bot"]).await;
        kubectl.ok(&["create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics"]).await;
        kubectl.ok(&["create", "clusterrolebinding", "metrics", "--clusterrole=metrics", "--user=ann"]).await;
        let token = if kubectl.is_old() {
            token(&server, "bot").await
        } else {
            kubectl.ok(&["create", "token", "bot"]).await
        };
        assert_eq!(kubectl.ok(&["auth", "can-i", "delete", "apps.tenure.dev"]).await.trim(), "yes");
        let bot = "--as=system:serviceaccount:default:bot".to_owned();
        assert_eq!(kubectl.ok(&["auth", "can-i", "list", "apps.tenure.dev", &bot]).await.trim(), "yes");
        let denied = kubectl.run(&["auth", "can-i", "delete", "apps.tenure.dev", &bot]).await;
        assert!(!denied.success && denied.stdout.trim().starts_with("no"), "{denied:?}");
        let list = kubectl.ok(&["auth", "can-i", "--list", &bot]).await;
        assert!(list.contains("apps.tenure.dev") && list.contains("[get list]"), "{list}");
        if kubectl.is_at_least(28) {
            assert!(kubectl.ok(&["auth", "whoami"]).await.contains("system:masters"));
        }
        let person = Person::with(&server, token.trim()).await;
        assert_eq!(person.get(APPS).await.status, 200, "{}", kubectl.version);
        assert_eq!(person.get("/api/v1/namespaces/default/configmaps").await.status, 403);
        assert!(kubectl.ok(&["get", "role,rolebinding,clusterrole,sa"]).await.contains("reader"));
    }
}
