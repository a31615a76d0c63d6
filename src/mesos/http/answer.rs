//! What the answers of a master mean for a scheduler.

use http::StatusCode;

use crate::mesos::connection::ConnectionError;
use crate::mesos::wire::CallType;

/// The most of a text that is repeated: a page of HTML would fill the log.
const SHOWN: usize = 300;

/// The texts of a master that has read a call and found fault with the call alone.
const OF_THE_CALL: [&str; 4] =
    ["Failed to validate", "Failed to convert", "Failed to parse", "Expecting 'Content-Type'"];
/// The texts of a master that does not know the subscription (any longer).
const OF_THE_STREAM: [&str; 3] =
    ["Framework cannot be found", "The stream ID '", "All non-subscribe calls should include"];

/// What the answer to a call of a subscription means. Only success is none of the errors.
pub(super) fn to_call(kind: CallType, status: StatusCode, text: &str) -> Result<(), ConnectionError> {
    let message = format!("{}: {}", status.as_u16(), brief(text));
    Err(match status.as_u16() {
        200 | 202 => return Ok(()),
        400 if is_of_the_call(kind, text) => ConnectionError::Refused { message: brief(text) },
        400 | 403 => ConnectionError::Unsubscribed { message: brief(text) },
        401 => {
            ConnectionError::Unsubscribed { message: "the credentials are not accepted any more".to_owned() }
        }
        // The framework was removed while it was updated.
        409 => ConnectionError::Unsubscribed { message },
        307 | 404 | 502 | 503 => ConnectionError::Unreachable { message },
        405 | 406 | 415 | 501 => ConnectionError::Refused { message },
        _ => ConnectionError::Lost { message },
    })
}

/// UPDATE_FRAMEWORK alone is answered by what came of it.
fn is_of_the_call(kind: CallType, text: &str) -> bool {
    let begins = |texts: &[&str]| texts.iter().any(|begin| text.starts_with(begin));
    begins(&OF_THE_CALL) || (kind == CallType::UpdateFramework && !begins(&OF_THE_STREAM))
}

/// What an answer to SUBSCRIBE other than 200 and 307 means.
pub(super) fn to_subscribe(status: StatusCode, text: &str, has_credentials: bool) -> ConnectionError {
    let message = format!("{}: {}", status.as_u16(), brief(text));
    match status.as_u16() {
        401 if has_credentials => {
            ConnectionError::Refused { message: "the principal and secret are not accepted (401)".to_owned() }
        }
        401 => ConnectionError::Refused {
            message: "a principal and secret are asked for, and none are configured (401)".to_owned(),
        },
        400 | 403 | 405 | 406 | 415 | 501 => ConnectionError::Refused { message },
        _ => ConnectionError::Unreachable { message },
    }
}

/// One line of a text, not too long.
pub(super) fn brief(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionError::{Lost, Refused, Unreachable, Unsubscribed};

    fn call(kind: CallType, status: u16, text: &str) -> ConnectionError {
        to_call(kind, StatusCode::from_u16(status).unwrap(), text).unwrap_err()
    }

    #[test]
    fn a_call_that_was_queued_is_a_success() {
        for status in [StatusCode::OK, StatusCode::ACCEPTED] {
            assert_eq!(to_call(CallType::Revive, status, ""), Ok(()));
        }
    }

    #[test]
    fn a_refused_subscription_is_told_from_a_refused_call_and_from_a_master_that_is_none() {
        use CallType::{Acknowledge, Revive, UpdateFramework};
        let stream = "The stream ID 'x' included in this request didn't match the stream ID currently associated \
                      with framework ID f";
        assert!(matches!(call(Revive, 400, "Framework cannot be found"), Unsubscribed { .. }));
        assert!(matches!(call(Revive, 400, stream), Unsubscribed { .. }));
        assert!(matches!(call(UpdateFramework, 400, stream), Unsubscribed { .. }));
        assert!(matches!(call(Revive, 403, "Framework is not subscribed"), Unsubscribed { .. }));
        assert!(matches!(call(Revive, 401, "401 Unauthorized."), Unsubscribed { .. }));
        assert!(matches!(call(UpdateFramework, 409, "removed"), Unsubscribed { .. }));
        let uuid = "Failed to validate scheduler::Call: Not a valid UUID";
        assert!(matches!(call(Acknowledge, 400, uuid), Refused { .. }));
        assert!(matches!(call(UpdateFramework, 400, "FrameworkInfo update is not valid: …"), Refused { .. }));
        for status in [405, 406, 415, 501] {
            assert!(matches!(call(Revive, status, ""), Refused { .. }), "{status}");
        }
        for status in [307, 404, 502, 503] {
            assert!(matches!(call(Revive, status, ""), Unreachable { .. }), "{status}");
        }
        assert!(matches!(call(Revive, 500, "failed to decode body"), Lost { .. }));
    }

    #[test]
    fn a_refused_subscribe_is_final_only_where_the_configuration_is_at_fault() {
        let subscribe = |status, known| to_subscribe(StatusCode::from_u16(status).unwrap(), "", known);
        for status in [400, 401, 403, 405, 406, 415] {
            assert!(!subscribe(status, true).is_retryable(), "{status}");
        }
        for status in [404, 500, 502, 503] {
            assert!(subscribe(status, true).is_retryable(), "{status}");
        }
        assert!(subscribe(401, false).to_string().contains("none are configured"));
        assert!(subscribe(401, true).to_string().contains("not accepted"));
    }

    #[test]
    fn a_page_of_html_becomes_one_short_line() {
        let page = format!("<html>\n  <body>{}", "x".repeat(10_000));
        let line = brief(&page);
        assert!(line.starts_with("<html> <body>xxx") && line.ends_with('…') && line.len() < 320, "{line}");
    }
}
