//! Client certificates: whom one stands for, once TLS has found that it is good. Its common name is the user, its organizations
//! are the groups, as in Kubernetes.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::user::User;

/// 2.5.4.3 and 2.5.4.10
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// UTF8String, PrintableString, IA5String
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Who is at the other end of a connection, by the certificate that was shown there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    user: User,
    /// A connection may outlive its certificate.
    expires: Timestamp,
}

impl Peer {
    /// What the certificate in `der` says; none if it names no user. Its signature is not checked here.
    pub(crate) fn of(der: &[u8]) -> Option<Peer> {
        let mut certificate = Der(der).inside(SEQUENCE)?.inside(SEQUENCE)?;
        if certificate.0.first() == Some(&VERSION) {
            certificate.any()?;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            certificate.any()?;
        }
        let mut validity = certificate.inside(SEQUENCE)?;
        validity.any()?;
        let expires = time(validity.any()?)?;
        let mut subject = certificate.inside(SEQUENCE)?;
        let (mut name, mut groups) = (String::new(), Vec::new());
        while !subject.0.is_empty() {
            let mut set = subject.inside(SET)?;
            while !set.0.is_empty() {
                let mut pair = set.inside(SEQUENCE)?;
                let ((_, kind), (tag, value)) = (pair.any()?, pair.any()?);
                let text = || TEXTS.contains(&tag).then(|| String::from_utf8(value.to_vec()).ok()).flatten();
                match kind {
                    COMMON_NAME => name = text()?,
                    ORGANIZATION => groups.push(text()?),
                    _ => {}
                }
            }
        }
        (!name.is_empty()).then(|| Peer { user: User::named(&name, groups), expires })
    }

    /// Who it is `now`; nobody any more, once the certificate has expired.
    pub(crate) fn user(&self, now: Timestamp) -> Option<User> {
        (now <= self.expires).then(|| self.user.clone())
    }
}

/// What is left of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let bytes;
            (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|it| it.0.len() <= 4)?;
            length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// What is inside the next element, which has this tag.
    fn inside(&mut self, tag: u8) -> Option<Der<'a>> {
        self.any().filter(|(found, _)| *found == tag).map(|(_, content)| Der(content))
    }
}

/// `YYMMDDHHMMSSZ` (of 1950 to 2049) or `YYYYMMDDHHMMSSZ`
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let year: i16 = year.parse().ok()?;
    let year = match tag {
        GENERALIZED_TIME => year,
        UTC_TIME if year < 50 => 2000 + year,
        UTC_TIME => 1900 + year,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date = Date::new(year, part(0)?, part(2)?).ok()?;
    let time = Time::new(part(4)?, part(6)?, part(8)?, 0).ok()?;
    let at = DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?;
    (rest.len() == 10).then(|| at.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_after = rcgen::date_time_ymd(2030, 5, 6);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn ann(params: &mut CertificateParams) {
        params.distinguished_name.push(DnType::CommonName, "ann");
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::PrintableString("dev".try_into().unwrap()));
        params.distinguished_name.push(DnType::CountryName, "DE");
    }

    #[test]
    fn a_certificate_stands_for_its_common_name_until_it_expires() {
        let peer = Peer::of(&certificate(ann)).unwrap();
        let user = peer.user("2030-05-06T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!((user.name.as_str(), user.groups.join(" ").as_str()), ("ann", "dev system:authenticated"));
        assert_eq!(peer.user("2030-05-06T00:00:01Z".parse().unwrap()), None);
        let far = Peer::of(&certificate(|params| {
            ann(params);
            params.not_after = rcgen::date_time_ymd(2075, 1, 1);
        }));
        assert_eq!(far.unwrap().expires.to_string(), "2075-01-01T00:00:00Z");
        let nameless = |params: &mut CertificateParams| {
            params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        };
        assert_eq!(Peer::of(&certificate(nameless)), None);
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_is_nobody(cut in 0_usize..400, at in 0_usize..400, byte: u8, noise: Vec<u8>) {
            let whole = certificate(ann);
            let mut damaged = whole.clone();
            let at = at % damaged.len();
            damaged[at] = byte;
            let _ = Peer::of(&damaged);
            prop_assert_eq!(Peer::of(&whole[..cut % whole.len()]), None);
            let _ = Peer::of(&noise);
        }
    }
}
