mod build;
mod next;
mod state;

use std::collections::BTreeSet;

use cooperator_api::common::Attempt;
use cooperator_contract::run::{ImportTask, Source, StorageLocation, Task};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::plan::{Bucket, Owner, Plan, Program, Shape, Site, StorageAccess};

pub(crate) fn site() -> Site {
    Site {
        trainer_image: "trainer:1".into(),
        pull_policy: "IfNotPresent".into(),
        operator_image: "operator:1".into(),
        progress_url: Some("http://operator:8080/".into()),
        rented_progress_url: None,
        rents: true,
        otlp_endpoint: None,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        owner: Owner {
            namespace: "presidents".into(),
            name: "smollm".into(),
            uid: "uid-1".into(),
            kind: "basemodel",
            plural: "basemodels",
            reference: OwnerReference {
                api_version: "cooperator.dev/v1alpha1".into(),
                kind: "BaseModel".into(),
                name: "smollm".into(),
                uid: "uid-1".into(),
                controller: Some(true),
                block_owner_deletion: None,
            },
        },
        collective: "presidents".into(),
        program: Program::Import,
        job_prefix: "smollm-import-0a1b2c3d".into(),
        bucket: Bucket {
            location: StorageLocation {
                endpoint: "http://garage:3900".into(),
                region: "garage".into(),
                bucket: "presidents.presidents".into(),
                prefix: String::new(),
            },
            secret: "presidents-storage".into(),
        },
        storage: StorageAccess::Key,
        task: Task::Import(ImportTask {
            source: Source { storage_uri: "pvc://weights/model".into(), digest: None },
            license: "Apache-2.0".into(),
        }),
        source_secret: Some("hub".into()),
        claims: BTreeSet::from(["weights".to_owned()]),
        shape: Shape::default(),
        machine: None,
        leave: None,
        deadline_seconds: 3600,
        ttl_seconds: 600,
        queue: Some("gpus".into()),
    }
}

pub(crate) fn open(number: i32) -> Attempt {
    Attempt {
        number,
        job: format!("smollm-import-0a1b2c3d-{number}"),
        token_sha256: "0".repeat(64),
        started_at: "2026-11-24T12:00:00Z".into(),
        ..Attempt::default()
    }
}

pub(crate) fn failed(number: i32, reason: &str) -> Attempt {
    Attempt {
        ended_at: Some("2026-11-24T12:01:00Z".into()),
        reason: Some(reason.into()),
        message: Some("why".into()),
        ..open(number)
    }
}
