//! What the controllers of rented machines share: the drivers of Providers, what those offer, and how a machine joins.

mod drivers;
mod gauges;
mod limits;
mod market;
mod nodes;
mod own;
pub mod program;
mod pulse;
mod site;
mod tenant;
mod tunnel;

pub use drivers::{Drivers, secret_key};
pub use gauges::Gauges;
pub use limits::limits;
pub use market::{Market, OFFER, exchange, paused, seller};
pub use nodes::taken_by;
pub use pulse::{INTERVAL as PULSE_INTERVAL, Pulse};
pub use site::{Kubelet, Site};
pub use tunnel::{Ports, Tunnel};

use std::sync::Arc;

use cooperator_join::user_data::{POD_SUBNET, Rest, SANDBOX_IMAGE};
use cooperator_providers::Tenant;
use cooperator_telemetry::metrics::Metrics;
use tokio::sync::{Mutex, OnceCell};

use crate::pipeline::{Error, Pipeline};

/// Handed to every reconcile that rents.
pub struct Rent {
    /// Client, events, clock and settings.
    pub pipeline: Arc<Pipeline>,
    /// How rented machines reach this installation.
    pub site: Site,
    /// The way to machines that nothing can dial, where there is to be one.
    pub tunnel: Option<Tunnel>,
    /// Drivers that are in use.
    pub drivers: Drivers,
    /// What Providers offered last.
    pub market: Market,
    /// What is counted.
    pub gauges: Gauges,
    /// Held by whoever decides what to rent: one claim at a time.
    pub deciding: Mutex<()>,
    /// When virtual nodes were last said to live.
    pub pulse: Pulse,
    tenant: OnceCell<Tenant>,
}

impl Rent {
    /// With no driver yet, and no tunnel.
    pub fn new(pipeline: Arc<Pipeline>, site: Site, metrics: &Metrics) -> Self {
        let gauges = Gauges::new(metrics);
        let drivers = Drivers::new(pipeline.clock.clone(), gauges.calls.clone());
        Self {
            pipeline,
            site,
            tunnel: None,
            drivers,
            market: Market::default(),
            gauges,
            deciding: Mutex::default(),
            pulse: Pulse::default(),
            tenant: OnceCell::new(),
        }
    }

    /// Its machines reached by this tunnel, if there is one.
    #[must_use]
    pub fn by(self, tunnel: Option<Tunnel>) -> Self {
        Self { tunnel, ..self }
    }

    /// What every machine of this installation is told.
    pub fn rest(&self) -> Rest<'_> {
        let setup = &self.site.setup;
        Rest {
            api_server: &self.site.api_server,
            ca_pem: &self.site.authority,
            artifacts: &self.site.artifacts,
            sandbox_image: setup.sandbox_image.as_deref().unwrap_or(SANDBOX_IMAGE),
            pod_subnet: POD_SUBNET,
            containerd: &setup.containerd,
            tunnel: self.tunnel.as_ref().map(Tunnel::told),
        }
    }

    /// Whose machines are ours: this cluster's.
    ///
    /// # Errors
    /// [`Error::Read`] while the namespace `kube-system` cannot be read.
    pub async fn tenant(&self) -> Result<&Tenant, Error> {
        self.tenant.get_or_try_init(|| tenant::of(&self.pipeline)).await
    }
}
