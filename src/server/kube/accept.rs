//! Content negotiation: the first form in a client's order of preference that is served here.
//!
//! Protobuf is offered by nearly every Go client and required by none for these answers, so a protobuf range is
//! passed over and the JSON behind it taken.

/// The versions of aggregated discovery that are spoken; they differ only in name.
pub(crate) const AGGREGATED: [&str; 2] = ["v2", "v2beta1"];

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

/// What an answer shows of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transform {
    /// The objects themselves.
    Whole,
    /// Rows for people, at this version of `meta.k8s.io`.
    Table(MetaVersion),
    /// One object's metadata.
    Metadata(MetaVersion),
    /// A list's metadata.
    MetadataList(MetaVersion),
}

/// A version of `meta.k8s.io`; the two differ only in name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    /// `meta.k8s.io/v1`
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What was agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) encoding: Encoding,
    pub(crate) transform: Transform,
}

impl Accepted {
    /// What a client gets that did not ask, and what errors are written in.
    pub(crate) const PLAIN: Accepted = Accepted { encoding: Encoding::Json, transform: Transform::Whole };
}

/// The kind of answer that is negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Objects and lists: JSON and YAML, all transforms.
    Objects,
    /// A watch: JSON only, all transforms.
    Watch,
    /// Documents about the API: JSON and YAML, no transforms.
    Documents,
}

impl Offer {
    /// The types named in a refusal.
    pub(crate) fn types(self) -> &'static str {
        match self {
            Offer::Objects | Offer::Documents => "application/json, application/yaml",
            Offer::Watch => "application/json;stream=watch",
        }
    }
}

/// The first acceptable of the ranges in `accept`; no header accepts anything. None: nothing is acceptable.
pub(crate) fn negotiate(accept: Option<&str>, offer: Offer) -> Option<Accepted> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Accepted::PLAIN);
    };
    let mut ranges: Vec<Range<'_>> =
        accept.split(',').map(Range::parse).filter(|range| range.quality > 0.0).collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges.iter().find_map(|range| range.accepted(offer))
}

/// The version of aggregated discovery that a client prefers to the plain documents, if it does.
pub(crate) fn aggregated_discovery(accept: Option<&str>) -> Option<&'static str> {
    let first = accept?.split(',').map(Range::parse).find_map(|range| {
        if range.media != "application/json" {
            return None;
        }
        let aggregated =
            range.r#as == Some("APIGroupDiscoveryList") && range.group == Some("apidiscovery.k8s.io");
        match range.version {
            Some(version) if aggregated => AGGREGATED.into_iter().find(|served| *served == version).map(Some),
            _ if range.r#as.is_none() => Some(None),
            _ => None,
        }
    });
    first.flatten()
}

/// One media range with the parameters that Kubernetes gives a meaning.
struct Range<'a> {
    media: &'a str,
    quality: f32,
    r#as: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Range<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut range = Range { media, quality: 1.0, r#as: None, group: None, version: None };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => range.quality = value.trim().parse().unwrap_or(1.0),
                "as" => range.r#as = Some(value.trim()),
                "g" => range.group = Some(value.trim()),
                "v" => range.version = Some(value.trim()),
                _ => {}
            }
        }
        range
    }

    fn accepted(&self, offer: Offer) -> Option<Accepted> {
        let encoding = match self.media {
            "application/json" | "application/*" | "*/*" => Encoding::Json,
            "application/yaml" if offer != Offer::Watch => Encoding::Yaml,
            _ => return None,
        };
        let transform = match self.r#as {
            None => Transform::Whole,
            Some(_) if offer == Offer::Documents => return None,
            Some(form) => self.transform(form)?,
        };
        Some(Accepted { encoding, transform })
    }

    fn transform(&self, form: &str) -> Option<Transform> {
        let version = match self.version {
            Some("v1") => MetaVersion::V1,
            Some("v1beta1") => MetaVersion::V1Beta1,
            _ => return None,
        };
        if self.group != Some("meta.k8s.io") {
            return None;
        }
        match form {
            "Table" => Some(Transform::Table(version)),
            "PartialObjectMetadata" => Some(Transform::Metadata(version)),
            "PartialObjectMetadataList" => Some(Transform::MetadataList(version)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_served_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                     application/json";
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        for (accept, expected) in [
            (None, "Json Whole"),
            (Some(""), "Json Whole"),
            (Some("*/*"), "Json Whole"),
            (Some("application/json, */*"), "Json Whole"),
            (Some("application/vnd.kubernetes.protobuf,application/json"), "Json Whole"),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), "Json Whole"),
            (Some("application/yaml"), "Yaml Whole"),
            (Some("application/yaml;q=0.5, application/json;q=0.9"), "Json Whole"),
            (Some(table), "Json Table(V1)"),
            (Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io"), "Json Table(V1Beta1)"),
            (Some(metadata), "Json MetadataList(V1)"),
            (Some("application/json;as=Foo;v=v1;g=meta.k8s.io"), "none"),
            (Some("application/json;as=Foo;v=v1;g=meta.k8s.io,application/json"), "Json Whole"),
            (Some("application/json;as=Table;v=v2;g=meta.k8s.io"), "none"),
            (Some("application/vnd.kubernetes.protobuf"), "none"),
            (Some("text/html"), "none"),
            (Some("application/json;q=0"), "none"),
        ] {
            let shown = negotiate(accept, Offer::Objects)
                .map_or("none".to_owned(), |a| format!("{:?} {:?}", a.encoding, a.transform));
            assert_eq!(shown, expected, "{accept:?}");
        }
    }

    #[test]
    fn aggregated_discovery_is_for_who_prefers_it() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                       application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(aggregated_discovery(Some(kubectl)), Some("v2"));
        let older =
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(aggregated_discovery(Some(older)), Some("v2beta1"));
        assert_eq!(aggregated_discovery(Some("application/json, */*")), None);
        assert_eq!(aggregated_discovery(None), None);
    }

    #[test]
    fn a_watch_is_not_written_as_yaml() {
        assert_eq!(negotiate(Some("application/yaml"), Offer::Watch), None);
        let stream = negotiate(Some("application/json;stream=watch"), Offer::Watch);
        assert_eq!(stream, Some(Accepted::PLAIN));
    }
}
