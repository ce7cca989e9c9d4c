//! Pure: whether what was measured is enough.

use cooperator_contract::preflight::{Floors, Measured};

/// What is below its floor, each with the bound and the field that sets it. Empty: the machine is fit.
pub(super) fn shortfalls(measured: Measured, floors: Floors) -> Vec<String> {
    let least = [
        (measured.gflops, floors.gflops, "its CPUs do", "GFLOP/s", "minGflops"),
        (
            measured.disk_mib_per_second,
            floors.disk_mib_per_second,
            "its disk does",
            "MiB/s",
            "minDiskMibPerSecond",
        ),
        (
            measured.download_mbit_per_second,
            floors.download_mbit_per_second,
            "it reads from object storage at",
            "Mbit/s",
            "minDownloadMbitPerSecond",
        ),
        (
            measured.upload_mbit_per_second,
            floors.upload_mbit_per_second,
            "it writes to object storage at",
            "Mbit/s",
            "minUploadMbitPerSecond",
        ),
    ];
    let below = least.into_iter().filter(|(has, floor, ..)| has < floor);
    let mut all: Vec<String> = below
        .map(|(has, floor, what, unit, field)| {
            format!("{what} {has} {unit}, less than {floor} (spec.preflight.{field} of its NodePool)")
        })
        .collect();
    let (takes, most) = (measured.model_download_seconds, floors.model_download_seconds);
    if most > 0 && takes > most {
        all.push(format!(
            "the base model would take {takes} s to be downloaded, more than {most} \
             (spec.preflight.maxModelDownload of its NodePool)"
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: Floors = Floors {
        gflops: 10,
        disk_mib_per_second: 20,
        download_mbit_per_second: 30,
        upload_mbit_per_second: 40,
        model_download_seconds: 50,
    };
    const FIT: Measured = Measured {
        gflops: 10,
        disk_mib_per_second: 20,
        download_mbit_per_second: 30,
        upload_mbit_per_second: 40,
        model_download_seconds: 50,
    };

    #[test]
    fn a_machine_that_reaches_every_bound_exactly_is_fit() {
        assert_eq!(shortfalls(FIT, FLOORS), Vec::<String>::new());
    }

    #[test]
    fn each_shortfall_is_told_with_the_bound_and_the_field_that_sets_it() {
        let slow = Measured {
            gflops: 9,
            disk_mib_per_second: 19,
            download_mbit_per_second: 29,
            upload_mbit_per_second: 39,
            model_download_seconds: 51,
        };
        let told = shortfalls(slow, FLOORS);
        let wanted = [
            ("9 GFLOP/s, less than 10", "minGflops"),
            ("19 MiB/s, less than 20", "minDiskMibPerSecond"),
            ("29 Mbit/s, less than 30", "minDownloadMbitPerSecond"),
            ("39 Mbit/s, less than 40", "minUploadMbitPerSecond"),
            ("51 s to be downloaded, more than 50", "maxModelDownload"),
        ];
        assert_eq!(told.len(), wanted.len());
        for (told, (bound, field)) in told.iter().zip(wanted) {
            assert!(told.contains(bound) && told.contains(&format!("spec.preflight.{field}")), "{told}");
        }
    }

    #[test]
    fn a_floor_of_zero_is_none() {
        let nothing = Measured { model_download_seconds: u64::MAX, ..Measured::default() };
        assert_eq!(shortfalls(nothing, Floors::default()), Vec::<String>::new());
    }
}
