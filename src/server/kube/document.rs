//! Documents about the API: version, discovery, OpenAPI.

use axum::response::Response;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::Api;
use super::accept::{self, AGGREGATED, Encoding, Offer, negotiate};
use super::published::Published;
use super::reply::{self, JSON};
use super::route::Route;
use crate::registry::Failure;

/// What kubectl chooses its behaviour by (and Google's packaged one, its version).
const MAJOR: &str = "1";
const MINOR: &str = "32";
const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

impl Api {
    pub(super) fn document(&self, route: &Route, head: &Parts) -> Response {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return reply::failure(&Failure::method_not_allowed());
        }
        let headers = &head.headers;
        let scheme = self.registry.scheme();
        let catalog = self.catalogs.of(&scheme, &self.facades);
        let (discovery, openapi) = (&catalog.discovery, &catalog.openapi);
        let key = |group: &str, version: &str| (group.to_owned(), version.to_owned());
        let found = match route {
            Route::Root => return root(),
            Route::OpenApiV2 => return v2(&openapi.v2_json, &openapi.v2_protobuf, headers),
            Route::OpenApiV3 { group, version } => {
                let Some(document) = openapi.v3.get(&key(group, version)) else { return reply::not_found() };
                let current = format!("hash={}", document.hash);
                return if head.uri.query().is_some_and(|query| query.split('&').any(|part| part == current)) {
                    document.answer_for_ever(JSON, headers)
                } else {
                    document.answer(JSON, headers)
                };
            }
            Route::CoreVersions => {
                Some(aggregated(&discovery.core_versions, &discovery.aggregated_core, headers))
            }
            Route::Groups => Some(aggregated(&discovery.groups, &discovery.aggregated_groups, headers)),
            Route::Group(group) => discovery.group.get(group).map(|document| (document, JSON)),
            Route::Resources { group, version } => {
                discovery.resources.get(&key(group, version)).map(|document| (document, JSON))
            }
            Route::OpenApiV3Index => Some((&openapi.index, JSON)),
            // Reads of the version were answered before anybody was asked who they are.
            Route::Objects(_) | Route::Version => None,
        };
        match found {
            None => reply::not_found(),
            Some(_)
                if negotiate(accept(headers), Offer::Documents).is_none() && !asks_aggregated(headers) =>
            {
                reply::failure(&Failure::not_acceptable(Offer::Documents.types()))
            }
            Some((document, content_type)) => document.answer(content_type, headers),
        }
    }
}

/// The plain document, or the aggregated one for who prefers it; and its content type, by which clients know it.
fn aggregated<'a>(
    plain: &'a Published,
    aggregated: &'a [Published],
    headers: &HeaderMap,
) -> (&'a Published, &'static str) {
    const TYPES: [&str; 2] = [
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    ];
    let version = accept::aggregated_discovery(accept(headers));
    let index = version.and_then(|version| AGGREGATED.iter().position(|known| *known == version));
    match index.and_then(|index| Some((aggregated.get(index)?, TYPES.get(index)?))) {
        Some((document, content_type)) => (document, content_type),
        None => (plain, JSON),
    }
}

fn asks_aggregated(headers: &HeaderMap) -> bool {
    accept::aggregated_discovery(accept(headers)).is_some()
}

/// Protobuf for who names it, JSON for everybody else.
fn v2(json: &Published, protobuf: &Published, headers: &HeaderMap) -> Response {
    let ranges = accept(headers).unwrap_or_default();
    if ranges.contains("application/com.github.proto-openapi.spec.v2") {
        return protobuf.answer(PROTOBUF_V2, headers);
    }
    match negotiate(accept(headers), Offer::Documents) {
        Some(accepted) if accepted.encoding == Encoding::Json => json.answer(JSON, headers),
        _ => reply::failure(&Failure::not_acceptable(JSON)),
    }
}

pub(super) fn accept(headers: &HeaderMap) -> Option<&str> {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok())
}

fn root() -> Response {
    let paths = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    reply::value(StatusCode::OK, &json!({ "paths": paths }), Encoding::Json)
}

pub(super) fn version(installation: &str) -> Response {
    let tenure = env!("CARGO_PKG_VERSION");
    let version = json!({
        "major": MAJOR, "minor": MINOR, "gitVersion": format!("v{MAJOR}.{MINOR}.0+tenure.{tenure}"), "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()), "installation": installation,
    });
    reply::value(StatusCode::OK, &version, Encoding::Json)
}

/// The architecture in the words of Go, which clients print.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
