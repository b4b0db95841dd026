use tokio_postgres::{Error, NoTls};

/// Who is speaking? The name, whether that is sure, the length of a voiceprint, and the nearest voice.
pub async fn who_speaks(url: &str, enrol: &[u8], heard: &[u8]) -> Result<String, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let insert = "INSERT INTO voices VALUES ($1, ai_audio_embed($2::bytea))";
    client.execute(insert, &[&"June", &enrol]).await?;
    let ask = "SELECT name, probability > 0.9 FROM ai_audio_identify($1::bytea, 'voices')";
    let who = client.query_one(ask, &[&heard]).await?;
    let embed = "SELECT ai_audio_embed($1::bytea)::real[]";
    let voiceprint: Vec<f32> = client.query_one(embed, &[&heard]).await?.get(0);
    let search =
        "SELECT name FROM voices ORDER BY cosine_similarity(voiceprint, $1::real[]) DESC LIMIT 1";
    let best = client.query_one(search, &[&voiceprint]).await?;
    let (name, sure): (&str, bool) = (who.get(0), who.get(1));
    Ok(format!(
        "{name} {sure} {} {}",
        voiceprint.len(),
        best.get::<_, &str>(0)
    ))
}
