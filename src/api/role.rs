//! Mesos roles: who resources are offered to. What they may be called is Mesos's rule, told in its words.

/// Why a role cannot be called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Nothing.
    #[error("Role names cannot be the empty string")]
    Empty,
    /// `/web`
    #[error("Role '{0}' cannot start with a slash")]
    SlashFirst(String),
    /// `web/`
    #[error("Role '{0}' cannot end with a slash")]
    SlashLast(String),
    /// `web//blue`
    #[error("Role '{0}' cannot contain two adjacent slashes")]
    SlashTwice(String),
    /// `web/..`
    #[error("Role '{role}' cannot include '{component}' as a component")]
    Special {
        /// The whole name.
        role: String,
        /// The part between slashes.
        component: String,
    },
    /// `web/-blue`
    #[error("Role component '{0}' is invalid because it starts with a dash")]
    DashFirst(String),
    /// `web blue`
    #[error("Role component '{0}' is invalid because it contains backspace or whitespace")]
    Space(String),
}

/// Checks that a role may be called `role`: `*`, or components between slashes, such as `web` or `web/blue`.
///
/// # Errors
/// What is wrong with the name, in Mesos's words.
pub fn check(role: &str) -> Result<(), RoleError> {
    if role == "*" {
        return Ok(());
    }
    let whole = || role.to_owned();
    if role.is_empty() {
        return Err(RoleError::Empty);
    }
    if role.starts_with('/') {
        return Err(RoleError::SlashFirst(whole()));
    }
    if role.ends_with('/') {
        return Err(RoleError::SlashLast(whole()));
    }
    if role.contains("//") {
        return Err(RoleError::SlashTwice(whole()));
    }
    for component in role.split('/') {
        if matches!(component, "." | ".." | "*") {
            return Err(RoleError::Special { role: whole(), component: component.to_owned() });
        }
        if component.starts_with('-') {
            return Err(RoleError::DashFirst(component.to_owned()));
        }
        if component.contains(|c: char| c.is_ascii_whitespace() || c == '\u{7f}' || c == '\u{b}') {
            return Err(RoleError::Space(component.to_owned()));
        }
    }
    Ok(())
}
