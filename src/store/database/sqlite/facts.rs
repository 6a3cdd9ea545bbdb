//! What the installation remembers about itself.

use async_trait::async_trait;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::Result;
use crate::store::database::facts::Facts;
use crate::store::database::rows::statements;

#[async_trait]
impl Facts for SqliteDatabase {
    async fn fact(&self, name: &str) -> Result<Option<String>> {
        let fact = sqlx::query_scalar(statements::FACT).bind(name);
        fact.fetch_optional(&mut *self.reader().await?).await.map_err(failed)
    }

    async fn first_fact(&self, name: &str, value: &str) -> Result<String> {
        // All rows are taken: a statement that is given up before its end is rolled back.
        let fact = sqlx::query_scalar(statements::FIRST_FACT);
        let facts: Vec<String> =
            fact.bind(name).bind(value).fetch_all(&mut *self.writing().await?).await.map_err(failed)?;
        Ok(facts.into_iter().next().unwrap_or_else(|| value.to_owned()))
    }

    async fn set_fact(&self, name: &str, value: &str) -> Result<()> {
        let set = sqlx::query(statements::SET_FACT);
        set.bind(name).bind(value).execute(&mut *self.writing().await?).await.map_err(failed)?;
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
