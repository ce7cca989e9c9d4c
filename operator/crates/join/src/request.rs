//! What a request for a certificate (PKCS#10) asks for.
//!
//! Whoever signs it reads it again with another library. So only what both must read alike is taken: PEM exactly as a writer
//! writes it, DER without a byte more, no attributes, and no part of the subject twice.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::prelude::FromDer as _;

/// Longest request that is read, in bytes; an RSA key of 8192 bits makes one of 3 KiB.
pub const MOST: usize = 8 << 10;
/// What its PEM block is called.
const TAG: &str = "CERTIFICATE REQUEST";

/// Whom a well-formed request, signed with its own key, names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The common name: for Kubernetes, the user.
    pub common_name: String,
    /// The organisation: for Kubernetes, the group.
    pub organization: String,
}

/// Why a request is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is longer than [`MOST`].
    #[error("it has {0} bytes; at most {MOST} are read")]
    TooLong(usize),
    /// It is no PEM text, or not one block alone, or not as a writer writes it.
    #[error("it is not one PEM block `{TAG}` alone, in lines of 64 characters")]
    Pem,
    /// What the block holds is no PKCS#10 request, or more than one.
    #[error("the PEM block holds no PKCS#10 request, or something beside it")]
    Der,
    /// It was not signed with the key it is for.
    #[error("it is not signed with its own key")]
    Signature,
    /// It asks for more than a name: other names, extensions, attributes.
    #[error("it asks for attributes or extensions, such as alternative names")]
    Attributes,
    /// Its subject is not one common name and one organisation.
    #[error("its subject has to be one CN and one O, each as text, and nothing else")]
    Subject,
}

impl Subject {
    /// Reads a request as it stands in a CertificateSigningRequest.
    ///
    /// # Errors
    /// When it is malformed, is not signed with its own key, or asks for anything but a subject of one CN and one O.
    pub fn of_request(pem: &[u8]) -> Result<Self, Error> {
        if pem.len() > MOST {
            return Err(Error::TooLong(pem.len()));
        }
        let block = block(pem).ok_or(Error::Pem)?;
        let (rest, request) = X509CertificationRequest::from_der(&block).map_err(|_| Error::Der)?;
        if !rest.is_empty() {
            return Err(Error::Der);
        }
        request.verify_signature().map_err(|_| Error::Signature)?;
        let info = request.certification_request_info;
        if !info.attributes().is_empty() {
            return Err(Error::Attributes);
        }
        let (mut common_name, mut organization) = (None, None);
        for part in info.subject.iter_attributes() {
            let slot = match part.attr_type() {
                oid if *oid == OID_X509_COMMON_NAME => &mut common_name,
                oid if *oid == OID_X509_ORGANIZATION_NAME => &mut organization,
                _ => return Err(Error::Subject),
            };
            let text = part.as_str().map_err(|_| Error::Subject)?;
            if slot.replace(text.to_owned()).is_some() {
                return Err(Error::Subject);
            }
        }
        match (common_name, organization) {
            (Some(common_name), Some(organization)) => Ok(Self { common_name, organization }),
            _ => Err(Error::Subject),
        }
    }
}

/// The bytes of the one block, if writing them anew gives the same text: so there is no header, and nothing beside.
fn block(text: &[u8]) -> Option<Vec<u8>> {
    let block = pem::Pem::new(TAG, pem::parse(text).ok()?.into_contents());
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let same = pem::encode_config(&block, config).trim_end().as_bytes() == text.trim_ascii_end();
    same.then(|| block.into_contents())
}
