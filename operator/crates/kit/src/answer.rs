//! What a refusal of the API server means.

/// Not there: the object, or its kind. Who removes the definitions removes all objects.
///
/// kube's `is_not_found` goes by the reason, and of a kind that does not exist the answer is a page that has none.
pub fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What was to be created is there already, whoever made it.
pub fn is_there(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

/// It has changed since it was read, or is another one of that name.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

/// The user has no right to it.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refusal(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure("", reason).with_code(code)))
    }

    #[test]
    fn an_object_that_is_not_there_and_one_of_a_kind_that_is_not_are_absent() {
        assert!(is_absent(&refusal(404, "NotFound")));
        assert!(is_absent(&refusal(404, "Failed to parse error data")), "404 page not found");
        assert!(!is_absent(&refusal(410, "Expired")));
    }

    #[test]
    fn a_name_that_is_taken_is_no_conflict_and_a_conflict_takes_no_name() {
        let (taken, conflict) = (refusal(409, "AlreadyExists"), refusal(409, "Conflict"));
        assert!(is_there(&taken) && !is_conflict(&taken));
        assert!(is_conflict(&conflict) && !is_there(&conflict), "such as a quota's that has just changed");
        assert!(is_forbidden(&refusal(403, "Forbidden")) && !is_forbidden(&taken));
    }
}
