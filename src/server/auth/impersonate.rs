//! Somebody who acts as somebody else, as far as the roles let them.

use http::HeaderMap;

use super::user::User;
use crate::registry::{Failure, Snapshot};
use crate::server::rbac;
use crate::server::rbac::rules::Access;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whom `headers` ask to be, if anybody.
///
/// # Errors
/// 400 for headers that do not belong together, 403 for what `user` may not be.
pub(crate) fn wanted(snapshot: &Snapshot, user: &User, headers: &HeaderMap) -> Result<Option<User>, Failure> {
    let all =
        |name: &str| headers.get_all(name).iter().map(|value| value.to_str().map(str::to_owned)).collect();
    let unreadable = |_| Failure::bad_request("an Impersonate header is no text");
    let names: Vec<String> = Result::<_, http::header::ToStrError>::map_err(all(USER), unreadable)?;
    let groups: Vec<String> = all(GROUP).map_err(unreadable)?;
    let uids: Vec<String> = all(UID).map_err(unreadable)?;
    let extras = headers.keys().filter_map(|name| name.as_str().strip_prefix(EXTRA));
    let mut extra = std::collections::BTreeMap::new();
    for key in extras {
        extra.insert(key.to_owned(), all(&format!("{EXTRA}{key}")).map_err(unreadable)?);
    }
    let Some(name) = names.first().filter(|name| !name.is_empty()) else {
        if groups.is_empty() && uids.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        return Err(Failure::bad_request("Impersonate headers without Impersonate-User"));
    };
    let may = |access: &Access| rbac::check(snapshot, user, access);
    let mut known = Vec::new();
    match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            may(&Access::named("impersonate", "", "serviceaccounts", namespace, account))?;
            if groups.is_empty() {
                known = User::service_account(namespace, account, "").groups;
            }
        }
        None => may(&Access::named("impersonate", "", "users", "", name))?,
    }
    for group in &groups {
        may(&Access::named("impersonate", "", "groups", "", group))?;
    }
    for uid in &uids {
        may(&Access::named("impersonate", AUTHENTICATION, "uids", "", uid))?;
    }
    for (key, value) in
        extra.iter().flat_map(|(key, values): (&String, &Vec<String>)| values.iter().map(move |it| (key, it)))
    {
        may(&Access::named("impersonate", AUTHENTICATION, &format!("userextras/{key}"), "", value))?;
    }
    let uid = uids.into_iter().next().unwrap_or_default();
    Ok(Some(User { uid, extra, ..User::named(name, groups.into_iter().chain(known)) }))
}
