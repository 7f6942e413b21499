SELECT partition_date, sum(bytes) FROM (
  SELECT partition_date, bytes FROM bench.raw WHERE lower(trim(calltype)) = 'data' AND bytes IS NOT NULL
  UNION ALL SELECT partition_date, CAST(-data_usage_in_kb * 1024 AS BIGINT) FROM {{ ref("final") }}
) GROUP BY partition_date HAVING sum(bytes) <> 0
