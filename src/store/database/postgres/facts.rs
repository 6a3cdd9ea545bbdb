//! What the installation remembers about itself.

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::facts::Facts;
use crate::store::database::rows::{statements, text};

#[async_trait]
impl Facts for PostgresDatabase {
    async fn fact(&self, name: &str) -> Result<Option<String>> {
        let row = self.row(Repeat::Safe, statements::FACT, arguments![name]).await?;
        row.map(|row| text(&row, "value")).transpose()
    }

    async fn first_fact(&self, name: &str, value: &str) -> Result<String> {
        let row = self.row(Repeat::Safe, statements::FIRST_FACT, arguments![name, value]).await?;
        row.map_or_else(|| Ok(value.to_owned()), |row| text(&row, "value"))
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        self.change(Repeat::Safe, statements::SET_FACT, arguments![name, value]).await.map(drop)
    }
}
