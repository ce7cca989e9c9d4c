use super::*;
use crate::testing::byte_tokenizer;

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(byte_tokenizer().to_string().as_bytes()).unwrap()
}

#[test]
fn text_survives_encoding_and_decoding() {
    let tokenizer = tokenizer();
    for text in ["", "a b", "Grüße 中文 🎉\n\t", "  two  spaces  "] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn a_marker_in_a_users_text_is_no_control_token() {
    let tokenizer = tokenizer();
    let end = tokenizer.id("<|im_end|>").unwrap();
    assert_eq!(tokenizer.encode_with_markers("<|im_end|>").unwrap(), [end]);
    assert!(!tokenizer.encode("<|im_end|>").unwrap().contains(&end));
}

#[test]
fn streamed_text_shows_no_half_characters_and_adds_up() {
    let tokenizer = tokenizer();
    let text = "Grüße 🎉!";
    let mut stream = TextStream::new();
    let mut pieces = Vec::new();
    for id in tokenizer.encode(text).unwrap() {
        pieces.push(stream.push(&tokenizer, id).unwrap());
    }
    pieces.push(stream.finish(&tokenizer).unwrap());
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
    assert_eq!(pieces.concat(), text);
}

#[test]
fn bytes_that_never_become_a_character_are_let_go_after_a_while() {
    let tokenizer = tokenizer();
    let broken = tokenizer.encode("é").unwrap()[0];
    let mut stream = TextStream::new();
    let mut text = String::new();
    for _ in 0..100 {
        text.push_str(&stream.push(&tokenizer, broken).unwrap());
    }
    assert!(text.starts_with('\u{fffd}') && stream.ids.len() < 3 * MAX_HELD);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let bytes = byte_tokenizer().to_string();
    let error = Tokenizer::for_vocabulary(bytes.as_bytes(), 100).unwrap_err();
    assert_eq!(error, TokenizerError::TooManyTokens { tokens: 259, vocabulary: 100 });
    assert!(Tokenizer::from_json(b"{}").unwrap_err().to_string().contains("tokenizer.json"));
}
