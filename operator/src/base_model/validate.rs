//! Pure: may this model be imported, and from what?

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_contract::run::Source;
use cooperator_core::digest::Digest;
use cooperator_core::license::{LicenseError, LicensePolicy};

use crate::domain::{self, Hold};
use crate::runs::Bucket;

/// A base model that may be imported.
#[derive(Clone, Debug)]
pub struct ValidBaseModel {
    /// Its Collective.
    pub collective: String,
    /// Where it is imported to.
    pub bucket: Bucket,
    /// Where it is imported from.
    pub source: Source,
    /// Secret with credentials for the source.
    pub source_secret: Option<String>,
    /// SPDX expression.
    pub license: String,
}

/// Whether the Collective's policy allows the licence.
///
/// # Errors
/// [`Hold`] with reason LicenseNotAllowed, LicenseInvalid or CollectiveNotFound.
pub fn license(model: &BaseModel, collective: Option<&Collective>) -> Result<(), Hold> {
    let Some(collective) = collective else {
        return domain::bucket(None, &model.spec.collective_ref.name).map(drop);
    };
    LicensePolicy::new(&collective.spec.policy.base_model_licenses)
        .and_then(|policy| policy.check(&model.spec.license))
        .map_err(|error| {
            let reason = match error {
                LicenseError::NotAllowed { .. } => "LicenseNotAllowed",
                LicenseError::Invalid { .. } => "LicenseInvalid",
            };
            Hold::new(reason, error.to_string())
        })
}

/// Parses the spec once. The licence is checked before.
///
/// # Errors
/// [`Hold`] if the Collective's storage is not ready or the expected digest is none.
pub fn validate(model: &BaseModel, collective: Option<&Collective>) -> Result<ValidBaseModel, Hold> {
    let spec = &model.spec;
    let digest = spec.source.digest.as_deref().map(str::parse::<Digest>).transpose();
    Ok(ValidBaseModel {
        collective: spec.collective_ref.name.clone(),
        bucket: domain::bucket(collective, &spec.collective_ref.name)?,
        source: Source {
            storage_uri: spec.source.storage_uri.clone(),
            digest: digest.map_err(|error| Hold::new("SourceInvalid", format!("spec.source.{error}")))?,
        },
        source_secret: spec.source.secret_ref.as_ref().map(|secret| secret.name.clone()),
        license: spec.license.clone(),
    })
}
