SELECT partition_date, sum(one) FROM (
  SELECT partition_date, 1 AS one FROM {{ ref("staging") }}
  UNION ALL SELECT partition_date, -1 FROM {{ ref("final") }}
) GROUP BY partition_date HAVING sum(one) <> 0
