//! Client certificates: whom one stands for, once TLS has found that it is good. Its common name is the user, its organizations
//! are the groups, as in Kubernetes.

use jiff::Timestamp;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::x509::AttributeTypeAndValue;

use super::user::User;

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
        // Of the extensions nothing is asked.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (_, certificate) = parser.parse(der).ok()?;
        let text = |part: &AttributeTypeAndValue<'_>| part.as_str().ok().map(str::to_owned);
        let subject = certificate.subject();
        let name = text(subject.iter_common_name().last()?)?;
        let groups: Vec<String> = subject.iter_organization().map(text).collect::<Option<_>>()?;
        let expires = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
        (!name.is_empty()).then(|| Peer { user: User::named(&name, groups), expires })
    }

    /// Who it is `now`; nobody any more, once the certificate has expired.
    pub(crate) fn user(&self, now: Timestamp) -> Option<User> {
        (now <= self.expires).then(|| self.user.clone())
    }
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
