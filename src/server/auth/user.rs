//! Who asks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Everybody who showed who they are.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// May do everything, whatever the roles say.
pub(crate) const MASTERS: &str = "system:masters";

/// Somebody who was recognised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Empty where there is none.
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody of this name and these groups.
    pub(crate) fn named(name: &str, groups: impl IntoIterator<Item = String>) -> User {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name: name.to_owned(), groups, ..User::default() }
    }

    /// Who shows the installation's own token.
    pub(crate) fn admin() -> User {
        User::named("admin", [MASTERS.to_owned()])
    }

    /// The ServiceAccount `name` of `namespace`.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> User {
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let user = User::named(&format!("system:serviceaccount:{namespace}:{name}"), groups);
        User { uid: uid.to_owned(), ..user }
    }

    /// Whether no role is asked.
    pub(crate) fn is_master(&self) -> bool {
        self.is_in(MASTERS)
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    /// As reviews and the audit log tell it.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}
