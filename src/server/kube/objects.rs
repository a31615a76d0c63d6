//! Requests about objects: which verb it is, and what the registry answers to it.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::accept::{Accepted, Encoding, Offer, Transform, negotiate};
use super::document::accept;
use super::joined::Joined;
use super::route::Target;
use super::view::{Include, ListMeta, View};
use super::{Api, body, facade, reply};
use crate::api;
use crate::registry::options::{self, DeleteOptions, ListQuery, Query, WriteOptions};
use crate::registry::{At, Deleted, Failure, Key, KindDef, ListPage, Scheme, Subresource, Written};
use crate::server::auth::user::User;
use crate::server::rbac;
use crate::server::rbac::rules::Access;

/// Namespaces that every client takes for granted.
const IMMORTAL: [&str; 2] = ["default", "kube-system"];

/// What is asked of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As metrics and discovery call it.
    fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }

    fn of(method: &Method, named: bool, query: &Query) -> Result<Verb, Failure> {
        match (method, named) {
            (&(Method::GET | Method::HEAD), true) => Ok(Verb::Get),
            (&Method::GET, false) if query.flag("watch") => Ok(Verb::Watch),
            (&(Method::GET | Method::HEAD), false) => Ok(Verb::List),
            (&Method::POST, _) => Ok(Verb::Create),
            (&Method::PUT, true) => Ok(Verb::Update),
            (&Method::PATCH, true) => Ok(Verb::Patch),
            (&Method::DELETE, true) => Ok(Verb::Delete),
            (&Method::DELETE, false) => Ok(Verb::DeleteCollection),
            (&(Method::PUT | Method::PATCH), false) => Err(Failure::bad_request("name must be provided")),
            _ => Err(Failure::method_not_allowed()),
        }
    }
}

impl Verb {
    /// The verb of a request, for people.
    pub(super) fn spelled(method: &Method, named: bool, query: Option<&str>) -> Option<String> {
        let watches =
            query.is_some_and(|query| query.split('&').any(|it| matches!(it, "watch=true" | "watch=1")));
        let verb = match (method, named) {
            (&Method::GET | &Method::HEAD, false) if watches => Verb::Watch,
            (&Method::GET | &Method::HEAD, false) => Verb::List,
            (&Method::GET | &Method::HEAD, true) => Verb::Get,
            (&Method::POST, _) => Verb::Create,
            (&Method::PUT, _) => Verb::Update,
            (&Method::PATCH, _) => Verb::Patch,
            (&Method::DELETE, true) => Verb::Delete,
            (&Method::DELETE, false) => Verb::DeleteCollection,
            _ => return None,
        };
        Some(verb.name().to_owned())
    }
}

/// A part of an object that has a path of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Object(Subresource),
    Log,
    Exec,
    /// A ServiceAccount's.
    Token,
}

/// One request about objects of a served kind.
pub(super) struct Ask<'a> {
    pub(super) kind: Arc<KindDef>,
    pub(super) target: Target,
    pub(super) head: &'a Parts,
    pub(super) query: Query,
    pub(super) user: User,
}

impl Ask<'_> {
    fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    fn is_namespace(&self) -> bool {
        self.kind.group.is_empty() && self.kind.kind == "Namespace"
    }

    /// The named object; the name is there for every verb that asks for it.
    pub(super) fn key(&self) -> Key {
        self.kind.key(self.namespace(), self.target.name.as_deref().unwrap_or_default())
    }

    fn part(&self) -> Result<Part, Failure> {
        let is_task = self.kind.group == api::GROUP && self.kind.kind == "Task";
        match self.target.subresource.as_deref() {
            None => Ok(Part::Object(Subresource::Main)),
            Some("status") if self.kind.status => Ok(Part::Object(Subresource::Status)),
            Some("scale") if self.kind.scale.is_some() => Ok(Part::Object(Subresource::Scale)),
            Some("finalize") if self.kind.holds_by_spec => Ok(Part::Object(Subresource::Finalize)),
            Some("log") if is_task => Ok(Part::Log),
            Some("exec") if is_task => Ok(Part::Exec),
            Some("token") if self.kind.group.is_empty() && self.kind.kind == "ServiceAccount" => {
                Ok(Part::Token)
            }
            Some(_) => Err(Failure::not_found(&self.kind, &self.key().name)),
        }
    }

    /// How the answer shall look.
    pub(super) fn accepted(&self, offer: Offer) -> Result<Accepted, Failure> {
        negotiate(accept(&self.head.headers), offer).ok_or_else(|| Failure::not_acceptable(offer.types()))
    }

    /// What must be permitted.
    fn access(&self, verb: Verb) -> Access {
        let resource = match &self.target.subresource {
            Some(part) => format!("{}/{part}", self.kind.plural),
            None => self.kind.plural.clone(),
        };
        let name = self.target.name.as_deref().unwrap_or_default();
        // A namespace is in itself.
        let namespace = if self.is_namespace() { name } else { self.namespace() };
        Access::named(verb.name(), &self.kind.group, &resource, namespace, name)
    }

    fn write_options(&self, api: &Api, verb: options::Verb) -> Result<WriteOptions, Failure> {
        let agent =
            self.head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let options = WriteOptions::parse(verb, &self.query, agent)?;
        let admission = rbac::admission(&api.registry, &self.user, &self.kind, self.namespace());
        Ok(WriteOptions { admission, ..options })
    }
}

/// The kind that a path names, if the path fits its scope.
fn served(scheme: &Scheme, facades: &[Arc<KindDef>], target: &Target) -> Option<Arc<KindDef>> {
    let named = |kind: &&Arc<KindDef>| -> bool {
        (&kind.group, &kind.version, &kind.plural) == (&target.group, &target.version, &target.plural)
    };
    let kind = scheme.by_route(&target.group, &target.version, &target.plural);
    let kind = kind.or_else(|| facades.iter().find(named))?;
    let fits = match (kind.namespaced, target.namespace.is_some()) {
        (true, false) => target.name.is_none(),
        (false, true) => false,
        _ => true,
    };
    fits.then(|| kind.clone())
}

impl Api {
    pub(super) async fn objects(
        self: &Arc<Self>,
        target: Target,
        head: &Parts,
        body: Body,
        user: User,
    ) -> Response {
        let started = Instant::now();
        let Some(kind) = served(&self.registry.scheme(), &self.facades, &target) else {
            return reply::not_found();
        };
        let everywhere = kind.namespaced && target.namespace.is_none();
        if everywhere && head.method == Method::POST {
            return reply::not_found();
        }
        let (name, query) = (kind.group_resource(), query(head));
        let deprecation = kind.deprecation.clone();
        let verb = query.as_ref().map_err(Failure::clone);
        let verb = verb.and_then(|query| Verb::of(&head.method, target.name.is_some(), query));
        let (word, answer) = match (verb, query) {
            (Ok(verb), Ok(query)) => {
                let ask = Ask { kind, target, head, query, user };
                let snapshot = self.registry.cache().snapshot();
                let answer = match rbac::check(&snapshot, &ask.user, &ask.access(verb)) {
                    Ok(()) => self.verb(verb, &ask, body).await,
                    Err(failure) => Err(failure),
                };
                (verb.name(), answer)
            }
            (Err(failure), _) | (_, Err(failure)) => ("none", Err(failure)),
        };
        let mut response = answer.unwrap_or_else(|failure| reply::failure(&failure));
        reply::warn(&mut response, deprecation.as_slice());
        self.requests.answered(word, &name, response.status(), started.elapsed());
        response
    }

    async fn verb(self: &Arc<Self>, verb: Verb, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        if facade::is_read_only(&ask.kind) && !verb.reads() {
            return Err(Failure::method_not_allowed());
        }
        if facade::is_live(&ask.kind) {
            return self.live_offers(verb, ask).await;
        }
        if facade::is_review(&ask.kind) {
            return match (verb, &ask.target.name) {
                (Verb::Create, None) => self.review(ask, body).await,
                _ => Err(Failure::method_not_allowed()),
            };
        }
        let subresource = match (verb, ask.part()?) {
            (Verb::Create, Part::Token) => return self.account_token(ask, body).await,
            (_, Part::Token) => return Err(Failure::method_not_allowed()),
            (_, Part::Exec) => return self.task_exec(ask).await,
            // All of them at once are nobody's to delete, as in Kubernetes.
            (Verb::DeleteCollection, _) if ask.is_namespace() => return Err(Failure::method_not_allowed()),
            // Of kinds that come from a definition one may be created at its own path, as in Kubernetes.
            (Verb::Create, part)
                if ask.target.name.is_some()
                    && (part != Part::Object(Subresource::Main) || ask.kind.is_core()) =>
            {
                return Err(Failure::method_not_allowed());
            }
            (Verb::Get, Part::Log) => return self.task_log(ask).await,
            (_, Part::Log) => return Err(Failure::method_not_allowed()),
            (Verb::Delete, Part::Object(Subresource::Status | Subresource::Scale)) => {
                return Err(Failure::method_not_allowed());
            }
            (verb, Part::Object(Subresource::Finalize)) if verb != Verb::Update => {
                return Err(Failure::method_not_allowed());
            }
            (_, Part::Object(subresource)) => subresource,
        };
        match verb {
            Verb::Get => self.get(ask, subresource).await,
            Verb::List => self.list(ask).await,
            Verb::Watch => self.watch(ask).await,
            Verb::Create => self.create(ask, body).await,
            Verb::Update => self.update(ask, subresource, body).await,
            Verb::Patch => self.patch(ask, subresource, body).await,
            Verb::Delete => self.delete(ask, body).await,
            Verb::DeleteCollection => self.delete_collection(ask, body).await,
        }
    }

    async fn get(&self, ask: &Ask<'_>, subresource: Subresource) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let (at, key) = (At::parse(&ask.query)?, ask.key());
        if subresource == Subresource::Scale {
            let scale = self.registry.get_subresource(&ask.kind, &key, subresource, at).await?;
            return self.sent(ask, accepted, StatusCode::OK, scale);
        }
        let doc = self.registry.get(&ask.kind, &key, at).await?;
        encoded(accepted.encoding, StatusCode::OK, self.view(ask, accepted)?.doc(&doc)?)
    }

    async fn list(&self, ask: &Ask<'_>) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let query = ListQuery::parse(ask.target.namespace.as_deref(), &ask.query)?;
        let page = self.registry.list(&ask.kind, &query).await?;
        self.page(ask, accepted, page)
    }

    async fn create(&self, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let options = ask.write_options(self, options::Verb::Create)?;
        if ask.kind.ttl.is_some() {
            self.event_rates.take(&ask.user, ask.namespace(), self.env.now())?;
        }
        let bytes = body::read(body).await?;
        let object = body::object(&ask.kind.kind, &ask.head.headers, &bytes)?;
        if let Some(name) = &ask.target.name {
            // Whoever may create this one must not create another with it.
            let given = object.value["metadata"]["name"].as_str().unwrap_or_default();
            if given != name {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
        }
        let written = self.registry.create(&ask.kind, ask.namespace(), object, &options).await?;
        self.written(ask, accepted, StatusCode::CREATED, written)
    }

    async fn update(&self, ask: &Ask<'_>, part: Subresource, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let options = ask.write_options(self, options::Verb::Update)?;
        let bytes = body::read(body).await?;
        let kind = if part == Subresource::Scale { "Scale" } else { &ask.kind.kind };
        let object = body::object(kind, &ask.head.headers, &bytes)?;
        let written = self.registry.update(&ask.kind, &ask.key(), part, object, &options).await?;
        self.written(ask, accepted, StatusCode::OK, written)
    }

    async fn patch(&self, ask: &Ask<'_>, part: Subresource, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let applies = body::is_apply(&ask.head.headers);
        let options =
            ask.write_options(self, if applies { options::Verb::Apply } else { options::Verb::Patch })?;
        let bytes = body::read(body).await?;
        let patch = body::patch(&ask.kind, &ask.head.headers, &bytes)?;
        let written = self.registry.patch(&ask.kind, &ask.key(), part, patch, &options).await?;
        let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        self.written(ask, accepted, status, written)
    }

    async fn delete(&self, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let options = delete_options(ask, body).await?;
        let name = ask.target.name.as_deref().unwrap_or_default();
        if ask.is_namespace() && IMMORTAL.contains(&name) {
            return Err(Failure::forbidden("", "namespaces", name, "this namespace may not be deleted"));
        }
        match self.registry.delete(&ask.kind, &ask.key(), &options).await? {
            Deleted::Gone { key, uid } => {
                let status = deleted(&ask.kind, &key, &uid);
                Ok(reply::value(StatusCode::OK, &status, accepted.encoding))
            }
            Deleted::Terminating(object) => self.sent(ask, accepted, StatusCode::OK, object),
        }
    }

    async fn delete_collection(&self, ask: &Ask<'_>, body: Body) -> Result<Response, Failure> {
        let accepted = ask.accepted(Offer::Objects)?;
        let query = ListQuery::parse(ask.target.namespace.as_deref(), &ask.query)?;
        let options = delete_options(ask, body).await?;
        let page = self.registry.delete_collection(&ask.kind, &query, &options).await?;
        self.page(ask, accepted, page)
    }

    pub(super) fn view<'a>(&'a self, ask: &'a Ask<'_>, accepted: Accepted) -> Result<View<'a>, Failure> {
        let include = Include::parse(ask.query.text("includeObject"))?;
        let is_scale = ask.target.subresource.as_deref() == Some("scale");
        let kind = if is_scale { &self.scale } else { &ask.kind };
        Ok(View { kind, transform: accepted.transform, include, now: self.env.now() })
    }

    fn page(&self, ask: &Ask<'_>, accepted: Accepted, page: ListPage) -> Result<Response, Failure> {
        let meta = ListMeta { revision: page.revision, continue_: page.continue_, remaining: page.remaining };
        listed(accepted.encoding, self.view(ask, accepted)?.list(page.docs, &meta)?)
    }

    fn written(
        &self,
        ask: &Ask<'_>,
        accepted: Accepted,
        status: StatusCode,
        written: Written,
    ) -> Result<Response, Failure> {
        let mut response = self.sent(ask, accepted, status, written.object)?;
        reply::warn(&mut response, &written.warnings);
        Ok(response)
    }

    /// An object that is already encoded.
    fn sent(
        &self,
        ask: &Ask<'_>,
        accepted: Accepted,
        status: StatusCode,
        object: Bytes,
    ) -> Result<Response, Failure> {
        if accepted.transform == Transform::Whole {
            return encoded(accepted.encoding, status, object);
        }
        self.shown(ask, accepted, status, &parsed(&object)?)
    }

    fn shown(
        &self,
        ask: &Ask<'_>,
        accepted: Accepted,
        status: StatusCode,
        object: &Value,
    ) -> Result<Response, Failure> {
        Ok(reply::value(status, &self.view(ask, accepted)?.object(object)?, accepted.encoding))
    }
}

pub(super) fn query(head: &Parts) -> Result<Query, Failure> {
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
        .map(|pairs| Query::new(pairs.0))
        .map_err(|error| Failure::bad_request(format!("the query cannot be read: {error}")))
}

async fn delete_options(ask: &Ask<'_>, body: Body) -> Result<DeleteOptions, Failure> {
    let bytes = body::read(body).await?;
    let body = body::options(&ask.head.headers, &bytes)?;
    DeleteOptions::parse(&body.value, &ask.query)
}

/// JSON is sent as it is; YAML is written from it.
pub(super) fn encoded(encoding: Encoding, status: StatusCode, json: Bytes) -> Result<Response, Failure> {
    match encoding {
        Encoding::Json => Ok(reply::bytes(status, reply::JSON, json)),
        Encoding::Yaml => Ok(reply::value(status, &parsed(&json)?, encoding)),
    }
}

/// JSON is joined while it is sent; YAML is written from the whole.
pub(super) fn listed(encoding: Encoding, list: Joined) -> Result<Response, Failure> {
    match encoding {
        Encoding::Json => Ok(reply::body(StatusCode::OK, reply::JSON, Body::new(list))),
        Encoding::Yaml => encoded(encoding, StatusCode::OK, list.whole()?),
    }
}

fn parsed(json: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(json).map_err(|error| Failure::internal(error.to_string()))
}

/// The Status of an object that is gone.
fn deleted(kind: &KindDef, key: &Key, uid: &str) -> Value {
    let mut details = json!({"name": &*key.name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
