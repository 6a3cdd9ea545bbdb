//! What the installation remembers about itself.

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::facts::Facts;
use crate::store::database::rows::text;

#[async_trait]
impl Facts for PostgresDatabase {
    async fn fact(&self, name: &str) -> Result<Option<String>> {
        let row = self.row(Repeat::Safe, "SELECT value FROM facts WHERE name = $1", arguments![name]).await?;
        row.map(|row| text(&row, "value")).transpose()
    }

    async fn first_fact(&self, name: &str, value: &str) -> Result<String> {
        // The update changes nothing; it makes the row that is there come back.
        let sql = "INSERT INTO facts (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = facts.value RETURNING value";
        let row = self.row(Repeat::Safe, sql, arguments![name, value]).await?;
        row.map_or_else(|| Ok(value.to_owned()), |row| text(&row, "value"))
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO facts (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.change(Repeat::Safe, sql, arguments![name, value]).await.map(drop)
    }
}
