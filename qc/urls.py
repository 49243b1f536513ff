"""Pages of the quality-control app."""

from django.urls import path, register_converter

from qc.receivers import http_upload
from qc.views import calibrators, drifts, protocols, queries, reviews, runs, sending, submissions, suv, trials


class ShortNumber:
    """The number people use, ``S-1001`` in an address and 1001 in the program."""

    prefix = ""

    def to_python(self, value: str) -> int:
        """Return the number behind the letter."""
        return int(value.removeprefix(self.prefix))

    def to_url(self, value: int | str) -> str:
        """Return the number with its letter."""
        return f"{self.prefix}{str(value).removeprefix(self.prefix)}"


class SubmissionNumber(ShortNumber):
    """``S-1001``."""

    prefix, regex = "S-", "S-[0-9]{1,18}"


class RunNumber(ShortNumber):
    """``R-1003``."""

    prefix, regex = "R-", "R-[0-9]{1,18}"


class QueryNumber(ShortNumber):
    """``Q-1005``."""

    prefix, regex = "Q-", "Q-[0-9]{1,18}"


register_converter(SubmissionNumber, "submission")
register_converter(RunNumber, "run")
register_converter(QueryNumber, "query")

app_name = "qc"
urlpatterns = [
    path("calibrators/<int:pk>/", calibrators.calibrator_detail, name="calibrator-detail"),
    path("calibrators/sources/<int:pk>/chart.svg", calibrators.calibrator_chart, name="calibrator-chart"),
    path("calibrators/readings/<int:pk>/withdraw/", calibrators.reading_withdraw, name="reading-withdraw"),
    path("send/", sending.submission_start, name="submission-start"),
    path("send/<submission:number>/place/", sending.submission_place, name="submission-place"),
    path("send/<submission:number>/sheet/", sending.submission_sheet, name="submission-sheet"),
    path("send/<submission:number>/sheet/print/", sending.submission_sheet_print, name="submission-sheet-print"),
    path("send/<submission:number>/files/", sending.submission_files, name="submission-files"),
    path("send/<submission:number>/files/list/", sending.submission_file_list, name="submission-file-list"),
    path("send/<submission:number>/files/remove/", sending.series_remove, name="series-remove"),
    path("send/<submission:number>/check/", sending.submission_check, name="submission-check"),
    path("send/<submission:number>/receipt/", sending.submission_receipt, name="submission-receipt"),
    path("upload/", http_upload.upload_create, name="upload-create"),
    path("upload/<uuid:upload_id>/", http_upload.upload_patch, name="upload-patch"),
    path("submissions/", submissions.submission_list, name="submission-list"),
    path("submissions/<submission:number>/", submissions.submission_detail, name="submission-detail"),
    path("submissions/<submission:number>/progress/", submissions.submission_progress, name="submission-progress"),
    path("submissions/<submission:number>/withdraw/", submissions.submission_withdraw, name="submission-withdraw"),
    path("submissions/<submission:number>/replace/", submissions.submission_replace, name="submission-replace"),
    path("submissions/<submission:number>/repeat/", submissions.submission_repeat, name="submission-repeat"),
    path("submissions/<submission:number>/recheck/", submissions.submission_recheck, name="submission-recheck"),
    path("submissions/<submission:number>/claim/", reviews.submission_claim, name="submission-claim"),
    path("submissions/<submission:number>/unclaim/", reviews.submission_unclaim, name="submission-unclaim"),
    path("submissions/<submission:number>/review/", reviews.submission_review, name="submission-review"),
    path("submissions/<submission:number>/checklist/", reviews.checklist_answer, name="checklist-answer"),
    path("submissions/<submission:number>/sign/", reviews.submission_sign, name="submission-sign"),
    path("submissions/<submission:number>/choose/", suv.submission_choose, name="submission-choose"),
    path("queries/", queries.query_list, name="query-list"),
    path("queries/<query:number>/", queries.query_detail, name="query-detail"),
    path("queries/<query:number>/ask/", queries.query_ask, name="query-ask"),
    path("queries/<query:number>/drop/", queries.query_drop, name="query-drop"),
    path("queries/<query:number>/answer/", queries.query_answer, name="query-answer"),
    path("queries/<query:number>/resubmit/", queries.query_resubmit, name="query-resubmit"),
    path("queries/<query:number>/reopen/", queries.query_reopen, name="query-reopen"),
    path("queries/<query:number>/close/", queries.query_close, name="query-close"),
    path("queries/<query:number>/give-up/", queries.query_give_up, name="query-give-up"),
    path("protocols/", protocols.protocol_list, name="protocol-list"),
    path("protocols/<slug:code>/start/", protocols.protocol_start, name="protocol-start"),
    path("protocols/<slug:code>/v<int:version>/", protocols.protocol_detail, name="protocol-detail"),
    path("protocols/<slug:code>/v<int:version>/edit/", protocols.protocol_edit, name="protocol-edit"),
    path("protocols/<slug:code>/v<int:version>/publish/", protocols.protocol_publish, name="protocol-publish"),
    path("drifts/<int:pk>/declare/", drifts.drift_declare, name="drift-declare"),
    path("drifts/<int:pk>/explain/", drifts.drift_explain, name="drift-explain"),
    path("runs/<run:number>/", runs.run_detail, name="run-detail"),
    path("runs/<run:number>/suv/", suv.suv_trace_show, name="suv-trace"),
    path("standards/suv/", suv.standing_show, name="standing-show"),
    path("runs/<run:number>/report/", runs.report_show, name="report-show"),
    path("runs/<run:number>/report/again/", runs.report_repeat, name="report-repeat"),
    path("runs/<run:number>/report.pdf", runs.report_download, name="report-download"),
    path("runs/<run:number>/conformance.csv", runs.conformance_csv, name="conformance-csv"),
    path("runs/<run:number>/figures/<slug:name>.svg", runs.figure_show, name="figure-show"),
    path("trials/<slug:code>/scans/", trials.trial_scan_list, name="trial-scan-list"),
    path("trials/<slug:code>/report/", trials.trial_report_request, name="trial-report-request"),
    path("trials/<slug:code>/downloads/", trials.trial_download_list, name="trial-download-list"),
    path("trial-reports/<uuid:pk>/<str:name>", trials.trial_report_download, name="trial-report-download"),
]
