/// Why an operation refused its operands. Every one is a mistake of the caller, not of the data's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpsError {
    /// A slice has not the length its shape asks for.
    #[error(
        "{op}: {operand} holds {got} values where its shape asks for {want}; pass a buffer of the declared shape"
    )]
    Length {
        /// The operation.
        op: &'static str,
        /// Which operand.
        operand: &'static str,
        /// Its length.
        got: usize,
        /// The length it should have.
        want: usize,
    },
    /// Two shapes that must agree do not, or a size is zero or indivisible.
    #[error("{op}: {rule}, got {left} and {right}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What must hold.
        rule: &'static str,
        /// The first size.
        left: usize,
        /// The second size.
        right: usize,
    },
    /// A label or token names no row of the vocabulary.
    #[error(
        "{op}: id {id} at row {row} is outside the vocabulary of {vocabulary}; tokenise with the model's own tokeniser"
    )]
    OutOfVocabulary {
        /// The operation.
        op: &'static str,
        /// The row of the batch.
        row: usize,
        /// The offending id.
        id: i64,
        /// The number of rows of the embedding.
        vocabulary: usize,
    },
}

/// Refuses a slice whose length is not `want`.
pub(crate) fn length(
    op: &'static str,
    operand: &'static str,
    got: usize,
    want: usize,
) -> Result<(), OpsError> {
    if got == want { Ok(()) } else { Err(OpsError::Length { op, operand, got, want }) }
}

/// Refuses two sizes for which `holds` is false.
pub(crate) fn shape(
    op: &'static str,
    rule: &'static str,
    left: usize,
    right: usize,
    holds: bool,
) -> Result<(), OpsError> {
    if holds { Ok(()) } else { Err(OpsError::Shape { op, rule, left, right }) }
}
