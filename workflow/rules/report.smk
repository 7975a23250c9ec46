TABLES = ["losses", "attention", "ushape", "comparisons", "retrieval", "cost"]
FIGURES = [f"{arm}/{declared.name}".lstrip("/") for declared, arm in checked(study_figures, STUDY)]
RESULTS = [
    *for_runs(TRAINED.values(), lambda arm, encoding: True),
    *for_runs(rules.analyze_attention.output, lambda arm, encoding: arm.reads_text and not arm.is_rotary(encoding)),
    *for_runs(rules.analyze_components.output, lambda arm, encoding: arm.reads_text and arm.is_rotary(encoding)),
    *for_runs(
        rules.analyze_dynamics.output, lambda arm, encoding: arm.reads_text and bool(arm.training.snapshot_steps)
    ),
    *for_runs(rules.evaluate_extrapolation.output, lambda arm, encoding: arm.reads_text),
    *for_runs(rules.evaluate_retrieval.output, lambda arm, encoding: bool(arm.retrieval.tasks)),
    *expand(rules.compute_theory.output, arm=ON_TEXT),
]


rule judge_claims:
    """Compute the tables across models and judge the claims."""
    input:
        study=rules.resolve_config.output,
        claims=STUDY.claims,
        lengths=LENGTHS,
        results=RESULTS,
    output:
        claims=PATHS.claims,
        endpoints=PATHS.tables / "endpoints.parquet",
        tables=expand(PATHS.tables / "{name}.{kind}", name=TABLES, kind=["csv", "parquet"]),
    log:
        PATHS.logs / "judge_claims.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=60,
    params:
        study=subpath(output.claims, parent=True),
    message:
        "judge the claims"
    shell:
        "python -m hope judge --study {params.study:q} --claims {input.claims:q} > {log:q} 2>&1"


rule draw_figures:
    """Draw the figures."""
    input:
        study=rules.resolve_config.output,
        claims=rules.judge_claims.output.claims,
        tables=rules.judge_claims.output.tables,
        results=RESULTS,
    output:
        shown=[
            report(
                PATHS.figures / f"{name}.svg",
                # Written with the figure: what it shows, and what to look at.
                caption=(PATHS.figures / f"{name}.rst").absolute(),
                category="Figures",
                labels={"figure": name},
            )
            for name in FIGURES
        ],
        others=expand(PATHS.figures / "{name}.{kind}", name=FIGURES, kind=["png", "csv", "rst"]),
    log:
        PATHS.logs / "draw_figures.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=60,
    params:
        study=PATHS.root,
    message:
        "draw the figures"
    shell:
        "python -m hope draw --study {params.study:q} > {log:q} 2>&1"


rule render_notebook:
    """Run a notebook on the study and render it to HTML."""
    input:
        template="notebooks/{notebook}.ipynb",
        study=rules.resolve_config.output,
        claims=rules.judge_claims.output.claims,
        tables=rules.judge_claims.output.tables,
        results=RESULTS,
    output:
        report(
            PATHS.report / "{notebook}.html",
            caption="../report/notebook.rst",
            category="Notebooks",
            labels={"notebook": "{notebook}"},
        ),
    log:
        PATHS.logs / "render_notebook" / "{notebook}.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=60,
    params:
        study=PATHS.root,
        # A failed notebook stays here for inspection.
        work=PATHS.logs / "render_notebook",
    message:
        "render the notebook {wildcards.notebook}"
    shell:
        "python -m hope notebook --template {input.template:q} --study {params.study:q} --output {output:q}"
        " --work {params.work:q} > {log:q} 2>&1"


rule write_report:
    """Write the final report."""
    input:
        study=rules.resolve_config.output,
        claims=rules.judge_claims.output.claims,
        tables=rules.judge_claims.output.tables,
        figures=rules.draw_figures.output,
        notebooks=expand(PATHS.report / "{notebook}.html", notebook=NOTEBOOKS),
    output:
        report(PATHS.report / "index.html", caption="../report/report.rst", category="Report"),
    log:
        PATHS.logs / "write_report.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        disk_mb=1000,
        runtime=30,
    params:
        study=PATHS.root,
    message:
        "write the report"
    shell:
        "python -m hope report --study {params.study:q} > {log:q} 2>&1"
