from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/tokens.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/analyze.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/track.smk"


rule all:
    default_target: True
    input:
        report=PATHS.report / "index.html",
        # Asked for by name: else a page that was deleted after the report was written would not be made again.
        figures=rules.draw_figures.output,
        notebooks=rules.write_report.input.notebooks,
        lengths=LENGTHS,
        tracking=PATHS.tracking / "synced",
