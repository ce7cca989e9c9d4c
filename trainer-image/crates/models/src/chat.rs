//! Chat templates, rendered as `transformers` renders them: Jinja with `trim_blocks`, `lstrip_blocks`,
//! `raise_exception`, `strftime_now` and Python's string methods. A template comes with a model and is not
//! trusted: it runs with a bounded number of steps and sees nothing but the messages.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::line::{object, one_line};

/// Steps a template may take; real ones need some hundred a message.
const FUEL: u64 = 5_000_000;
/// Largest accepted template, bytes.
const MAX_BYTES: usize = 1 << 20;
/// Largest accepted `tokenizer_config.json`, bytes: some list every added token again.
const MAX_CONFIG: usize = 16 << 20;
/// The name of the one template in its environment.
const NAME: &str = "chat";

/// Why a chat cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// The model's folder has no template.
    #[error("the model has no chat template in tokenizer_config.json: use /v1/completions")]
    NoTemplate,
    /// `tokenizer_config.json` is not what it must be.
    #[error("tokenizer_config.json cannot be read: {0}")]
    Unreadable(String),
    /// The template is no Jinja.
    #[error("chat template: {0}")]
    Template(String),
    /// The template refuses these messages, such as two of one role in a row.
    #[error("the model's chat template refuses the messages: {0}")]
    Refused(String),
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`; the template decides what else.
    pub role: String,
    /// The text.
    pub content: String,
}

/// Formats the present time by a `strftime` pattern, for templates that ask.
pub type Clock = fn(&str) -> String;

/// The template of a model, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Reads `chat_template`, `bos_token` and `eos_token` from a `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`ChatError::NoTemplate`], [`ChatError::Unreadable`], [`ChatError::Template`].
    pub fn from_tokenizer_config(bytes: &[u8], clock: Clock) -> Result<Self, ChatError> {
        if bytes.len() > MAX_CONFIG {
            return Err(ChatError::Unreadable(format!("{} bytes, at most {MAX_CONFIG}", bytes.len())));
        }
        let config: Value = object(bytes).map_err(ChatError::Unreadable)?;
        let template = match &config["chat_template"] {
            Value::String(text) => text.as_str(),
            // Several, by name: the one for plain chats.
            Value::Array(all) => {
                let default = all.iter().find(|one| one["name"] == "default");
                default.and_then(|one| one["template"].as_str()).ok_or(ChatError::NoTemplate)?
            }
            _ => return Err(ChatError::NoTemplate),
        };
        // A token is written as a string, or as an object with its content.
        let token = |name: &str| {
            let value = &config[name];
            value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
        };
        Self::new(template, token("bos_token"), token("eos_token"), clock)
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// [`ChatError::Template`].
    pub fn new(
        template: &str,
        bos_token: String,
        eos_token: String,
        clock: Clock,
    ) -> Result<Self, ChatError> {
        if template.len() > MAX_BYTES {
            return Err(ChatError::Template(format!("{} bytes, at most {MAX_BYTES}", template.len())));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| ChatError::Template(describe(&e)))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_function("strftime_now", move |format: String| clock(&format));
        environment
            .add_template_owned(NAME, template.to_owned())
            .map_err(|e| ChatError::Template(describe(&e)))?;
        Ok(Self { environment, bos_token, eos_token })
    }

    /// The prompt for `messages`; with `add_generation_prompt` it ends where the assistant begins to speak.
    ///
    /// # Errors
    /// [`ChatError::Refused`] with the template's own words.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ChatError> {
        let refused = |e: Error| ChatError::Refused(describe(&e));
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let messages: Vec<_> = messages
            .iter()
            .map(|m| context! { role => m.role.clone(), content => m.content.clone() })
            .collect();
        let values = context! {
            messages => messages,
            add_generation_prompt => add_generation_prompt,
            bos_token => self.bos_token.clone(),
            eos_token => self.eos_token.clone(),
        };
        template.render(values).map_err(refused)
    }
}

/// The reason.
fn describe(error: &Error) -> String {
    one_line(&error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
