-- Everything a schema file can say, one row each: what it is, its name, its definition.
WITH space AS (
    SELECT oid, nspname, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relation AS (
    SELECT c.* FROM pg_class AS c JOIN space ON space.oid = c.relnamespace
    WHERE c.relname !~ '^xinghan_migration'
)
SELECT 'schema' AS kind, nspname::text AS name, coalesce(nspacl::text, '') AS definition
FROM space
UNION ALL
SELECT 'relation', oid::regclass::text, concat_ws(
    ' ', relkind, relpersistence, relacl::text, reloptions::text, relrowsecurity,
    relforcerowsecurity, relispartition, pg_get_expr(relpartbound, oid),
    CASE relkind WHEN 'p' THEN pg_get_partkeydef(oid) END,
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END
)
FROM relation
UNION ALL
SELECT 'column', a.attrelid::regclass || '.' || a.attname, concat_ws(
    ' ', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    pg_get_expr(d.adbin, d.adrelid), a.attacl::text, a.attcollation, a.attstorage, a.attstattarget
)
FROM pg_attribute AS a
JOIN relation ON relation.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', concat_ws(
    '.', CASE WHEN conrelid <> 0 THEN conrelid::regclass::text ELSE contypid::regtype::text END, conname
), pg_get_constraintdef(c.oid) || ' ' || convalidated
FROM pg_constraint AS c JOIN space ON space.oid = c.connamespace
WHERE conname !~ '^xinghan_migration'
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) || ' ' || indisclustered
FROM pg_index JOIN relation ON relation.oid = indexrelid
UNION ALL
SELECT 'sequence', seqrelid::regclass::text, concat_ws(
    ' ', seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle
)
FROM pg_sequence JOIN relation ON relation.oid = seqrelid
UNION ALL
SELECT 'routine', p.oid::regprocedure::text, concat_ws(
    ' ', p.prokind, p.proacl::text, CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END
)
FROM pg_proc AS p JOIN space ON space.oid = p.pronamespace
UNION ALL
SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
FROM pg_trigger AS t JOIN relation ON relation.oid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy', p.polrelid::regclass || '.' || p.polname, concat_ws(
    ' ', p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
)
FROM pg_policy AS p JOIN relation ON relation.oid = p.polrelid
UNION ALL
SELECT 'rule', r.ev_class::regclass || '.' || r.rulename, pg_get_ruledef(r.oid)
FROM pg_rewrite AS r JOIN relation ON relation.oid = r.ev_class
UNION ALL
SELECT 'type', t.oid::regtype::text, concat_ws(
    ' ', t.typtype, t.typacl::text, t.typnotnull, t.typdefault,
    CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod) END, (
        SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
        FROM pg_enum AS e WHERE e.enumtypid = t.oid
    )
)
FROM pg_type AS t JOIN space ON space.oid = t.typnamespace
WHERE t.typname !~ '^_?xinghan_migration'
UNION ALL
SELECT 'extension', extname::text, extversion FROM pg_extension
UNION ALL
SELECT 'default privileges', concat_ws(' ', defaclrole::regrole, n.nspname, defaclobjtype), defaclacl::text
FROM pg_default_acl LEFT JOIN pg_namespace AS n ON n.oid = defaclnamespace
UNION ALL
SELECT 'comment', pg_describe_object(classoid, objoid, objsubid), description
FROM pg_description
WHERE objoid >= 16384
