//! From names on the command line to resources of the server, by discovery: `app`, `apps`, `apps.tenure.dev`, `all`.

use anyhow::{Context as _, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResource, APIResourceList};
use serde::Deserialize as _;
use serde_json::Value;

use super::connection::{Connection, escaped};
use crate::api;

/// A kind that the server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// CamelCase kind.
    pub kind: String,
    /// Lower-case plural.
    pub plural: String,
    /// Lower-case singular.
    pub singular: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Groups of kinds it is in.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    fn read(group: &str, version: &str, resource: APIResource) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            singular: if resource.singular_name.is_empty() {
                resource.kind.to_lowercase()
            } else {
                resource.singular_name
            },
            kind: resource.kind,
            plural: resource.name,
            short_names: resource.short_names.unwrap_or_default(),
            categories: resource.categories.unwrap_or_default(),
            namespaced: resource.namespaced,
        }
    }

    /// `group/version`, as documents carry it.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of all objects (in a namespace, if given) or of the named one.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let mut path = format!("{root}/{}", self.api_version());
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path = format!("{path}/namespaces/{}", escaped(namespace));
        }
        path = format!("{path}/{}", self.plural);
        match name {
            Some(name) => format!("{path}/{}", escaped(name)),
            None => path,
        }
    }

    /// `app.tenure.dev/web`, or `configmap/x` for core kinds.
    #[must_use]
    pub fn called(&self, name: &str) -> String {
        if self.group.is_empty() {
            format!("{}/{name}", self.singular)
        } else {
            format!("{}.{}/{name}", self.singular, self.group)
        }
    }

    fn answers_to(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let plain = |name: &str| {
            self.plural == name
                || self.singular == name
                || self.kind.to_lowercase() == name
                || self.short_names.iter().any(|short| short == name)
        };
        if plain(&name) {
            return true;
        }
        // apps.tenure.dev, apps.v1.tenure.dev
        let Some((first, rest)) = name.split_once('.') else { return false };
        plain(first) && (rest == self.group || rest == format!("{}.{}", self.version, self.group))
    }
}

/// All kinds that the server serves.
#[derive(Clone, Debug, Default)]
pub struct Catalog(Vec<Resource>);

impl Catalog {
    /// Asks the server.
    ///
    /// # Errors
    ///
    /// If the server does not answer, or not with discovery documents.
    pub async fn load(connection: &Connection) -> anyhow::Result<Self> {
        let mut resources = resources("", "v1", connection.get("/api/v1").await?)?;
        let groups = APIGroupList::deserialize(connection.get("/apis").await?)
            .context("the server's list of API groups is malformed")?;
        for group in groups.groups {
            let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
                continue;
            };
            let path = format!("/apis/{}", version.group_version);
            resources.extend(self::resources(&group.name, &version.version, connection.get(&path).await?)?);
        }
        Ok(Self::of(resources))
    }

    /// A catalog of these kinds; ours come first, so that they win over others of the same name.
    #[must_use]
    pub fn of(mut resources: Vec<Resource>) -> Self {
        resources.sort_by_key(|resource| (resource.group != api::GROUP, !resource.group.is_empty()));
        Self(resources)
    }

    /// All of them, ours first.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    /// The kind that is meant by a name.
    ///
    /// # Errors
    ///
    /// If no kind answers to it.
    pub fn find(&self, name: &str) -> anyhow::Result<&Resource> {
        self.0
            .iter()
            .find(|resource| resource.answers_to(name))
            .with_context(|| format!("the server doesn't have a resource type {name:?}"))
    }

    /// The kinds that are meant by a name: one, or all of a category.
    ///
    /// # Errors
    ///
    /// If there is neither a kind nor a category of this name.
    pub fn find_all(&self, name: &str) -> anyhow::Result<Vec<&Resource>> {
        let of_category: Vec<&Resource> = self
            .0
            .iter()
            .filter(|resource| resource.categories.iter().any(|category| category == name))
            .collect();
        if of_category.is_empty() { Ok(vec![self.find(name)?]) } else { Ok(of_category) }
    }

    /// The kind of a document.
    ///
    /// # Errors
    ///
    /// If it has no `apiVersion` or `kind`, or the server does not serve it.
    pub fn of_document(&self, document: &Value) -> anyhow::Result<&Resource> {
        let field = |name: &str| match document.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
            Some(other) => bail!("{name}: Invalid value: {other}: must be a text"),
            None => bail!("{name}: Required value: every document says what it is"),
        };
        let (api_version, kind) = (field("apiVersion")?, field("kind")?);
        let same = |resource: &&Resource| resource.api_version() == api_version && resource.kind == kind;
        self.0.iter().find(same).with_context(|| {
            format!(
                "no matches for kind {kind:?} in version {api_version:?}: the server serves {}",
                self.near(kind)
            )
        })
    }

    /// What might have been meant.
    fn near(&self, kind: &str) -> String {
        let same_kind: Vec<String> = self
            .0
            .iter()
            .filter(|resource| resource.kind.eq_ignore_ascii_case(kind))
            .map(|resource| format!("{} in {}", resource.kind, resource.api_version()))
            .collect();
        if !same_kind.is_empty() {
            return same_kind.join(", ");
        }
        let ours: Vec<&str> = self
            .0
            .iter()
            .filter(|resource| resource.group == api::GROUP)
            .map(|resource| resource.kind.as_str())
            .collect();
        format!("{} in {}", ours.join(", "), api::API_VERSION)
    }
}

fn resources(group: &str, version: &str, list: Value) -> anyhow::Result<Vec<Resource>> {
    let list = APIResourceList::deserialize(list).context("the server's list of resources is malformed")?;
    // Subresources are listed as `apps/status`.
    let whole = list.resources.into_iter().filter(|resource| !resource.name.contains('/'));
    Ok(whole.map(|resource| Resource::read(group, version, resource)).collect())
}

/// What arguments such as `apps,tasks`, `app web db` or `app/web task/x` mean: kinds, each with a name or without.
///
/// # Errors
///
/// If nothing is named, both notations are mixed, or there is no such kind.
pub fn select<'a>(
    catalog: &'a Catalog,
    arguments: &[String],
) -> anyhow::Result<Vec<(&'a Resource, Option<String>)>> {
    let Some((first, names)) = arguments.split_first() else {
        bail!("a type of resource is needed, such as apps, tasks or all");
    };
    if first.contains('/') {
        return arguments.iter().map(|argument| named(catalog, argument)).collect();
    }
    if let Some(mixed) = names.iter().find(|name| name.contains('/')) {
        bail!("{mixed:?} names a type again: write either TYPE NAME… or TYPE/NAME…");
    }
    let mut selected = Vec::new();
    for type_ in first.split(',') {
        for resource in catalog.find_all(type_)? {
            if names.is_empty() {
                selected.push((resource, None));
            } else {
                selected.extend(names.iter().map(|name| (resource, Some(name.clone()))));
            }
        }
    }
    Ok(selected)
}

fn named<'a>(catalog: &'a Catalog, argument: &str) -> anyhow::Result<(&'a Resource, Option<String>)> {
    match argument.split_once('/') {
        Some((type_, name)) if !name.is_empty() && !name.contains('/') => {
            Ok((catalog.find(type_)?, Some(name.to_owned())))
        }
        _ => bail!("{argument:?} must be TYPE/NAME, such as app/web"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Our kinds and two of core's, as discovery would tell them.
    pub(crate) fn catalog() -> Catalog {
        let mut all = vec![
            resource("", "ConfigMap", "configmaps", &["cm"], &[]),
            resource("", "Endpoints", "endpoints", &["ep"], &[]),
            resource("", "Event", "events", &["ev"], &[]),
        ];
        for crd in api::crds() {
            let names = crd.spec.names;
            let short = names.short_names.unwrap_or_default();
            let short: Vec<&str> = short.iter().map(String::as_str).collect();
            let mut ours = resource(api::GROUP, &names.kind, &names.plural, &short, &["all", "tenure"]);
            ours.namespaced = crd.spec.scope == "Namespaced";
            all.push(ours);
        }
        Catalog::of(all)
    }

    fn resource(group: &str, kind: &str, plural: &str, short: &[&str], categories: &[&str]) -> Resource {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Resource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: owned(short),
            categories: owned(categories),
            namespaced: true,
        }
    }

    #[test]
    fn a_kind_answers_to_all_its_names_and_ours_win() {
        let catalog = catalog();
        for name in ["app", "apps", "App", "apps.tenure.dev", "apps.v1.tenure.dev"] {
            assert_eq!(catalog.find(name).unwrap().kind, "App", "{name}");
        }
        assert_eq!(catalog.find("ep").unwrap().group, "tenure.dev");
        assert_eq!(
            catalog.find("cm").unwrap().path(Some("shop"), Some("x")),
            "/api/v1/namespaces/shop/configmaps/x"
        );
        assert_eq!(catalog.find("ag").unwrap().path(Some("shop"), None), "/apis/tenure.dev/v1/agents");
        let error = catalog.find("pods").unwrap_err();
        assert_eq!(error.to_string(), "the server doesn't have a resource type \"pods\"");
    }

    #[test]
    fn arguments_select_kinds_and_names_in_both_notations() {
        let catalog = catalog();
        let selected = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            select(&catalog, &arguments).map(|selected| {
                let text = |(resource, name): (&Resource, Option<String>)| {
                    format!("{}/{}", resource.plural, name.unwrap_or_default())
                };
                selected.into_iter().map(text).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(selected(&["app", "web", "db"]).unwrap(), "apps/web apps/db");
        assert_eq!(selected(&["app/web", "task/x"]).unwrap(), "apps/web tasks/x");
        assert_eq!(selected(&["apps,tasks"]).unwrap(), "apps/ tasks/");
        assert_eq!(selected(&["all"]).unwrap(), "agents/ apps/ endpoints/ revisions/ tasks/");
        assert!(selected(&["app", "task/x"]).unwrap_err().to_string().contains("either TYPE NAME"));
        assert!(selected(&["app/"]).unwrap_err().to_string().contains("must be TYPE/NAME"));
        assert!(selected(&[]).is_err());
    }

    #[test]
    fn a_document_of_an_unknown_kind_is_told_what_there_is() {
        let catalog = catalog();
        let error = |document: Value| catalog.of_document(&document).unwrap_err().to_string();
        assert_eq!(
            error(serde_json::json!({"kind": "App"})),
            "apiVersion: Required value: every document says what it is"
        );
        assert_eq!(
            error(serde_json::json!({"apiVersion": "tenure.dev/v2", "kind": "App"})),
            "no matches for kind \"App\" in version \"tenure.dev/v2\": the server serves App in tenure.dev/v1"
        );
    }
}
