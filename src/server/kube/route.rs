//! What a path asks for. Pure: whether the group, the kind or the object exists is found out later.

/// A path of the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`
    Root,
    /// `/version`
    Version,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/<group>`
    Group(String),
    /// `/api/v1`, `/apis/<group>/<version>`
    Resources { group: String, version: String },
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3Index,
    /// `/openapi/v3/<api/v1 or apis/group/version>`
    OpenApiV3 { group: String, version: String },
    /// Objects.
    Objects(Target),
}

/// The objects that a path names; the core group is the empty string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    /// None for a cluster-scoped kind and for all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Route {
    /// The route of `path`; a trailing slash means nothing. None for a path that no Kubernetes API has.
    pub(crate) fn parse(path: &str) -> Option<Route> {
        let decoded: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(percent_decoded).collect::<Option<_>>()?;
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => Some(Route::Root),
            ["version"] => Some(Route::Version),
            ["openapi", "v2"] => Some(Route::OpenApiV2),
            ["openapi", "v3"] => Some(Route::OpenApiV3Index),
            ["openapi", "v3", "api", version] => Some(openapi("", version)),
            ["openapi", "v3", "apis", group, version] => Some(openapi(group, version)),
            ["api"] => Some(Route::CoreVersions),
            ["api", version, rest @ ..] => in_version("", version, rest),
            ["apis"] => Some(Route::Groups),
            ["apis", group] => Some(Route::Group((*group).to_owned())),
            ["apis", group, version, rest @ ..] => in_version(group, version, rest),
            _ => None,
        }
    }
}

fn openapi(group: &str, version: &str) -> Route {
    Route::OpenApiV3 { group: group.to_owned(), version: version.to_owned() }
}

fn in_version(group: &str, version: &str, rest: &[&str]) -> Option<Route> {
    let target = |namespace: Option<&str>, plural: &str, name: Option<&str>, subresource: Option<&str>| {
        Some(Route::Objects(Target {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            plural: plural.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        }))
    };
    match *rest {
        [] => Some(Route::Resources { group: group.to_owned(), version: version.to_owned() }),
        // A Namespace is itself an object: these two are its subresources, not plurals inside it.
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            target(None, "namespaces", Some(name), Some(sub))
        }
        ["namespaces", namespace, plural] => target(Some(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => target(Some(namespace), plural, Some(name), None),
        ["namespaces", namespace, plural, name, sub] => {
            target(Some(namespace), plural, Some(name), Some(sub))
        }
        [plural] => target(None, plural, None, None),
        [plural, name] => target(None, plural, Some(name), None),
        [plural, name, sub] => target(None, plural, Some(name), Some(sub)),
        _ => None,
    }
}

/// None when an escape is broken or the result is not UTF-8.
fn percent_decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `group/version namespace plural name subresource`, `-` for what is absent.
    fn shown(path: &str) -> String {
        match Route::parse(path) {
            Some(Route::Objects(t)) => {
                let part = |part: &Option<String>| part.clone().unwrap_or("-".to_owned());
                let (namespace, name, sub) = (part(&t.namespace), part(&t.name), part(&t.subresource));
                format!("{}/{} {namespace} {} {name} {sub}", t.group, t.version, t.plural)
            }
            Some(other) => format!("{other:?}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_path_names_one_thing() {
        for (path, expected) in [
            ("/", "Root"),
            ("/version/", "Version"),
            ("/api", "CoreVersions"),
            ("/apis/", "Groups"),
            ("/apis/tenure.dev", "Group(\"tenure.dev\")"),
            ("/api/v1", "Resources { group: \"\", version: \"v1\" }"),
            ("/apis/tenure.dev/v1/", "Resources { group: \"tenure.dev\", version: \"v1\" }"),
            ("/openapi/v3/apis/tenure.dev/v1", "OpenApiV3 { group: \"tenure.dev\", version: \"v1\" }"),
            ("/openapi/v3/api/v1", "OpenApiV3 { group: \"\", version: \"v1\" }"),
            ("/apis/tenure.dev/v1/apps", "tenure.dev/v1 - apps - -"),
            ("/apis/tenure.dev/v1/agents/a1", "tenure.dev/v1 - agents a1 -"),
            ("/apis/tenure.dev/v1/agents/a1/status", "tenure.dev/v1 - agents a1 status"),
            ("/apis/tenure.dev/v1/namespaces/shop/apps", "tenure.dev/v1 shop apps - -"),
            ("/apis/tenure.dev/v1/namespaces/shop/apps/web/", "tenure.dev/v1 shop apps web -"),
            ("/apis/tenure.dev/v1/namespaces/shop/apps/web/scale", "tenure.dev/v1 shop apps web scale"),
            ("/api/v1/namespaces", "/v1 - namespaces - -"),
            ("/api/v1/namespaces/shop", "/v1 - namespaces shop -"),
            ("/api/v1/namespaces/shop/status", "/v1 - namespaces shop status"),
            ("/api/v1/namespaces/shop/finalize", "/v1 - namespaces shop finalize"),
            ("/api/v1/namespaces/status/events", "/v1 status events - -"),
            ("/api/v1/namespaces/shop/events/a%3Ab", "/v1 shop events a:b -"),
            ("/api/v1/namespaces/shop/events/a%3", "nothing"),
            ("/apis/tenure.dev/v1/namespaces/shop/apps/web/scale/more", "nothing"),
            ("/elsewhere", "nothing"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
