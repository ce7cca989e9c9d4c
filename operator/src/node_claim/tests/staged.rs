//! Vendors that take less of a script than ours has.

use cooperator_join::user_data::Rest;
use cooperator_providers::{Payload, Verb};
use serde_json::json;

use crate::testing::market::{Renting, told};

#[tokio::test]
async fn a_vendor_that_takes_short_scripts_gets_a_first_stage_that_fetches_the_rest_from_the_operator() {
    let renting = Renting::new().await;
    let (one, other) =
        (renting.provider("one", &[("a", "0.40")]), renting.provider("other", &[("b", "0.60")]));
    one.takes_scripts_of(4096);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    let Payload::UserData(staged) = one.orders().pop().unwrap().payload else { panic!() };
    assert!(staged.len() <= 4096, "{}", staged.len());
    let rest = format!("http://operator:8080/v1/join/{}", Rest::name(&renting.rent.rest().render().unwrap()));
    assert!(staged.contains(&rest), "{staged}");
    one.take_offer(&"a".into());
    renting.claim("n", json!({}));
    renting.run("n", 60).await;
    let Payload::UserData(whole) = other.orders().pop().unwrap().payload else { panic!() };
    assert!(whole.len() > 4096 && !whole.contains("/v1/join/"), "{}", whole.len());
}

#[tokio::test]
async fn a_script_that_is_too_long_even_so_is_said_before_anything_is_rented() {
    let renting = Renting::new().await;
    let one = renting.provider("one", &[("a", "0.40")]);
    one.takes_scripts_of(500);
    renting.claim("m", json!({}));
    renting.run("m", 60).await;
    let claim = renting.read("m");
    assert_eq!(told(&claim, "Ready"), ("False".into(), "UserDataInvalid".into()));
    let message = &claim.status.as_ref().unwrap().conditions[0].message;
    assert!(message.contains("takes 500: have fewer labels"), "{message}");
    assert!(one.calls().iter().all(|call| call.verb != Verb::Create));
    let secrets = renting.cluster.writes().into_iter().filter(|write| write.contains("secrets")).count();
    assert_eq!(secrets, 0, "no token is made for a machine that cannot be");
}
