use super::*;

const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn template(text: &str) -> ChatTemplate {
    ChatTemplate::new(text, "<s>".to_owned(), "</s>".to_owned(), |format| format!("now({format})")).unwrap()
}

fn user(content: &str) -> Vec<Message> {
    vec![Message { role: "user".to_owned(), content: content.to_owned() }]
}

#[test]
fn the_template_of_smollm2_renders_as_transformers_renders_it() {
    let prompt = template(SMOLLM2).render(&user("Hi"), true).unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    assert!(!template(SMOLLM2).render(&user("Hi"), false).unwrap().contains("assistant\n"));
}

#[test]
fn blocks_leave_no_blank_lines() {
    let text = "{% for m in messages %}\n    {% if true %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}";
    assert_eq!(template(text).render(&user("a"), false).unwrap(), "a\n");
}

#[test]
fn a_template_can_refuse_and_its_words_are_passed_on() {
    let text = "{{ raise_exception('roles must alternate') }}";
    let error = template(text).render(&user("a"), false).unwrap_err();
    assert_eq!(error, ChatError::Refused("roles must alternate".to_owned()));
}

#[test]
fn python_methods_tokens_and_the_date_are_there() {
    let text = "{{ bos_token }}{{ messages[0]['content'].strip() }}{{ strftime_now('%d') }}{{ eos_token }}";
    assert_eq!(template(text).render(&user(" a "), false).unwrap(), "<s>anow(%d)</s>");
}

#[test]
fn a_template_without_end_is_stopped() {
    let text =
        "{% for a in range(10000) %}{% for b in range(10000) %}{% set c = a %}{% endfor %}{% endfor %}";
    assert!(matches!(template(text).render(&user("a"), false), Err(ChatError::Refused(_))));
}

#[test]
fn a_model_without_template_says_where_to_go() {
    let error = ChatTemplate::from_tokenizer_config(b"{}", |_| String::new()).unwrap_err();
    assert!(error.to_string().contains("/v1/completions"));
}

#[test]
fn of_several_templates_the_default_is_used() {
    let config = serde_json::json!({"bos_token": {"content": "<b>"}, "chat_template": [
        {"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}"}]});
    let chat = ChatTemplate::from_tokenizer_config(config.to_string().as_bytes(), |_| String::new()).unwrap();
    assert_eq!(chat.render(&[], false).unwrap(), "<b>");
}
