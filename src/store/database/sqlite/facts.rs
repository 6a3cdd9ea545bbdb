//! What the installation remembers about itself.

use async_trait::async_trait;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::facts::Facts;

#[async_trait]
impl Facts for SqliteDatabase {
    async fn fact(&self, name: &str) -> Result<Option<String>> {
        let fact = sqlx::query_scalar("SELECT value FROM facts WHERE name = ?1").bind(name);
        fact.fetch_optional(&self.readers).await.map_err(failed)
    }

    async fn first_fact(&self, name: &str, value: &str) -> Result<String> {
        // The update changes nothing; it makes the row that is there come back.
        let fact = sqlx::query_scalar(
            "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value RETURNING value",
        );
        // All rows are taken: a statement that is given up before its end is rolled back.
        let facts: Vec<String> = fact.bind(name).bind(value).fetch_all(&self.writer).await.map_err(failed)?;
        Ok(facts.into_iter().next().unwrap_or_else(|| value.to_owned()))
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        let set = sqlx::query(
            "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        set.bind(name).bind(value).execute(&self.writer).await.map_err(failed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_fact_stays_until_it_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("veritail.db");
        let database = SqliteDatabase::open(&path).await.unwrap();
        assert_eq!(database.fact("a").await.unwrap(), None);
        assert_eq!(database.first_fact("a", "1").await.unwrap(), "1");
        assert_eq!(database.first_fact("a", "2").await.unwrap(), "1");
        database.set_fact("a", "3").await.unwrap();
        database.set_fact("b", "4").await.unwrap();
        database.close().await;
        let again = SqliteDatabase::open(&path).await.unwrap();
        assert_eq!(again.fact("a").await.unwrap().as_deref(), Some("3"));
        assert_eq!(again.fact("b").await.unwrap().as_deref(), Some("4"));
    }
}
