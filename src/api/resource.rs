//! Declares a kind: one `resource!` per noun, in the manner of kube-derive but without a procedural macro.
//!
//! What the macro writes: the struct with `metadata` (and `spec`, `status` where declared), serialisation with
//! `apiVersion` and `kind` in front, `kube_core::Resource`, so that `kube::Api<App>` works, and [`Kind`], from
//! which the CRD is generated and by which the server knows the kind's names.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/apis/tenure.dev/v1/namespaces/{namespace}/{plural}`
    Namespaced,
    /// `/apis/tenure.dev/v1/{plural}`
    Cluster,
}

/// A column of `kubectl get`, behind the name.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The heading.
    pub name: &'static str,
    /// `integer`, `number`, `string`, `boolean` or `date`.
    pub type_: &'static str,
    /// Where the value stands, in the Kubernetes dialect of JSONPath.
    pub json_path: &'static str,
    /// Shown by `-o wide` only.
    pub wide: bool,
}

/// Where the `/scale` subresource finds its two numbers.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths {
    /// JSONPath of the wanted number.
    pub spec: &'static str,
    /// JSONPath of the observed number.
    pub status: &'static str,
}

/// What is said about a kind besides its schema.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// CamelCase singular, as in documents.
    pub kind: &'static str,
    /// Lower-case plural, as in URLs.
    pub plural: &'static str,
    /// Lower-case singular, accepted on command lines.
    pub singular: &'static str,
    /// Abbreviations accepted on command lines.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that `get` accepts as one name.
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// Printer columns.
    pub columns: &'static [Column],
    /// Whether `/status` is a resource of its own.
    pub status: bool,
    /// Whether `/scale` is a resource of its own.
    pub scale: Option<ScalePaths>,
    /// One sentence: what the kind is.
    pub description: &'static str,
}

/// A kind of ours: typed, named, and convertible to a CRD.
pub trait Kind:
    kube_core::Resource<DynamicType = ()>
    + Serialize
    + DeserializeOwned
    + Clone
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Names, columns and subresources.
    const DEFINITION: Definition;

    /// The JSON schemas of the parts below `metadata`, by field name, as schemars writes them (not structural yet).
    fn parts() -> Vec<(&'static str, schemars::Schema)>;
}

/// Declares one kind. See [`super::app`] for the fullest use.
macro_rules! resource {
    (
        #[doc = $description:literal]
        $(#[doc = $more:literal])*
        $kind:ident {
            scope: $scope:ident,
            plural: $plural:literal,
            singular: $singular:literal,
            short: [$($short:literal),*],
            $(spec: $spec:ty,)?
            $(status: $status:ty,)?
            $(scale: ($scale_spec:literal, $scale_status:literal),)?
            columns: [$(($column:literal, $type_:ident, $path:literal $(, $wide:ident)?)),* $(,)?],
        }
    ) => {
        #[doc = $description]
        $(#[doc = $more])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
        pub struct $kind {
            /// Name, namespace, labels and everything else that Kubernetes keeps about any object.
            #[serde(deserialize_with = "crate::api::resource::exact")]
            pub metadata: $crate::api::ObjectMeta,
            $(
                /// What is wanted.
                pub spec: $spec,
            )?
            $(
                /// What is observed.
                #[serde(default)]
                pub status: Option<$status>,
            )?
        }

        impl $kind {
            /// An object of this name with nothing else in its metadata.
            #[must_use]
            pub fn new(name: &str $(, spec: $spec)?) -> Self {
                Self {
                    metadata: $crate::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
                    $(spec: { let spec: $spec = spec; spec },)?
                    $(status: None::<$status>,)?
                }
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut object = serializer.serialize_struct(stringify!($kind), 5)?;
                object.serialize_field("apiVersion", $crate::api::API_VERSION)?;
                object.serialize_field("kind", stringify!($kind))?;
                object.serialize_field("metadata", &self.metadata)?;
                $(object.serialize_field("spec", { let spec: &$spec = &self.spec; spec })?;)?
                $(
                    let status: &Option<$status> = &self.status;
                    match status {
                        Some(status) => object.serialize_field("status", status)?,
                        None => object.skip_field("status")?,
                    }
                )?
                object.end()
            }
        }

        impl kube_core::Resource for $kind {
            type DynamicType = ();
            type Scope = resource!(@scope $scope);

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                stringify!($kind).into()
            }
            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $crate::api::GROUP.into()
            }
            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $crate::api::VERSION.into()
            }
            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &$crate::api::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut $crate::api::ObjectMeta {
                &mut self.metadata
            }
        }

        impl $crate::api::resource::Kind for $kind {
            const DEFINITION: $crate::api::resource::Definition = $crate::api::resource::Definition {
                kind: stringify!($kind),
                plural: $plural,
                singular: $singular,
                short_names: &[$($short),*],
                categories: &["all", "tenure"],
                scope: $crate::api::resource::Scope::$scope,
                columns: &[$($crate::api::resource::Column {
                    name: $column,
                    type_: stringify!($type_),
                    json_path: $path,
                    wide: resource!(@wide $($wide)?),
                }),*],
                status: resource!(@given $($status)?),
                scale: resource!(@scale $($scale_spec, $scale_status)?),
                description: $description,
            };

            fn parts() -> Vec<(&'static str, schemars::Schema)> {
                let mut generator = $crate::api::resource::generator();
                vec![
                    $(("spec", generator.root_schema_for::<$spec>()),)?
                    $(("status", generator.root_schema_for::<$status>()),)?
                ]
            }
        }
    };
    (@scope Namespaced) => { kube_core::NamespaceResourceScope };
    (@scope Cluster) => { kube_core::ClusterResourceScope };
    (@wide) => { false };
    (@wide wide) => { true };
    (@given) => { false };
    (@given $given:ty) => { true };
    (@scale) => { None };
    (@scale $spec:literal, $status:literal) => {
        Some($crate::api::resource::ScalePaths { spec: $spec, status: $status })
    };
}

/// Metadata whose lists take no more room than they need: there is one for each version that is kept.
pub(in crate::api) fn exact<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<super::ObjectMeta, D::Error> {
    let mut metadata = super::ObjectMeta::deserialize(from)?;
    metadata.owner_references.iter_mut().for_each(Vec::shrink_to_fit);
    metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
    metadata.managed_fields.iter_mut().for_each(Vec::shrink_to_fit);
    Ok(metadata)
}

/// A generator of self-contained schemas: a structural schema has no `$ref`.
#[must_use]
pub fn generator() -> schemars::SchemaGenerator {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator()
}
