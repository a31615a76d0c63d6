//! Offers: read from the leader's memory; nothing of them is stored.

use http::Method;
use serde_json::json;

use crate::cli::{refused, shown};
use crate::kubectl::Kubectl;
use crate::server::TestServer;

const OFFERS: &str = "/apis/tenure.dev/v1/offers";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[tokio::test(flavor = "multi_thread")]
async fn live_offers_are_listed_got_and_explained_and_nothing_else() {
    let server = TestServer::start().await;
    let list = server.get(OFFERS).await.json();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("OfferList"), &json!("tenure.dev/v1")));
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|it| &it["metadata"]["name"]).collect();
    assert_eq!(names, ["m1-o1", "m1-o2"]);
    let one = server.get(&format!("{OFFERS}/m1-o1")).await.json();
    assert_eq!((&one["kind"], &one["status"]["resources"]["cpus"]), (&json!("Offer"), &json!("1500m")));
    let chosen = server.get(&format!("{OFFERS}?fieldSelector=metadata.name%3Dm1-o2")).await.json();
    assert_eq!(chosen["items"].as_array().unwrap().len(), 1);
    let table = server.get_as(OFFERS, TABLE).await.json();
    let cells: Vec<_> = table["rows"][0]["cells"].as_array().unwrap().iter().take(8).collect();
    assert_eq!(cells, ["m1-o1", "host1", "web", "1500m", "512Mi", "0", "Waiting", "shop/web shop/db"]);

    for (method, path, code) in [
        (Method::GET, format!("{OFFERS}?watch=true"), 405),
        (Method::POST, OFFERS.to_owned(), 405),
        (Method::DELETE, format!("{OFFERS}/m1-o1"), 405),
        (Method::DELETE, OFFERS.to_owned(), 405),
        (Method::GET, format!("{OFFERS}/m1-o1/status"), 405),
        (Method::GET, format!("{OFFERS}/m1-o9"), 404),
        (Method::GET, format!("{OFFERS}?fieldSelector=status.hostname%3Dx"), 400),
        (Method::GET, format!("{OFFERS}?resourceVersion=1&resourceVersionMatch=Exact"), 410),
    ] {
        let answer = server.json(method.clone(), &path, &json!({})).await;
        assert_eq!(answer.status, code, "{method} {path}: {}", answer.text());
    }

    let text = shown(&server, &["get", "offers"]).await;
    assert!(text.contains("m1-o1") && text.contains("Waiting") && text.contains("shop/web"), "{text}");
    let text = shown(&server, &["get", "of", "m1-o2", "-o", "yaml"]).await;
    assert!(text.contains("held: Lease") && text.contains("agentId: m1-S2"), "{text}");
    let text = refused(&server, &["get", "offers", "--watch"]).await;
    assert!(text.contains("does not allow this method"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kubectl_shows_offers() {
    for (_server, kubectl) in Kubectl::all().await {
        let text = kubectl.ok(&["get", "offers"]).await;
        assert!(text.contains("HELD") && text.contains("m1-o2") && text.contains("shop/web"), "{text}");
        let text = kubectl.ok(&["get", "of", "m1-o1", "-o", "jsonpath={.status.offerId}"]).await;
        assert_eq!(text, "m1-O1");
        let text = kubectl.ok(&["explain", "offer.status.held"]).await;
        assert!(text.contains("Why it is held."), "{text}");
        let text = kubectl.ok(&["api-resources", "--verbs=get,list", "--api-group=tenure.dev"]).await;
        assert!(text.contains("offers"), "{text}");
        let text = kubectl.ok(&["api-resources", "--verbs=watch", "--api-group=tenure.dev"]).await;
        assert!(!text.contains("offers") && text.contains("tasks"), "{text}");
        // `get all` is for what is stored.
        let text = kubectl.ok(&["get", "all"]).await;
        assert!(!text.contains("m1-o1"), "{text}");
    }
}
