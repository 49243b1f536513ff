"""Pages of the accreditation app; the check of a certificate is open to everybody."""

from django.urls import path, register_converter

from accreditation.views import cases, certificates, check, decisions, moves


class CaseNumber:
    """``C-118`` in an address and 118 in the program."""

    regex = "C-[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        """Return the number behind the letter."""
        return int(value.removeprefix("C-"))

    def to_url(self, value: int | str) -> str:
        """Return the number with its letter."""
        return f"C-{str(value).removeprefix('C-')}"


register_converter(CaseNumber, "case")

app_name = "accreditation"
urlpatterns = [
    path("cases/", cases.case_list, name="case-list"),
    path("cases/start/", cases.case_start, name="case-start"),
    path("cases/<case:number>/", cases.case_detail, name="case-detail"),
    path("cases/<case:number>/submit/", moves.case_submit, name="case-submit"),
    path("cases/<case:number>/receipt/", moves.case_receipt, name="case-receipt"),
    path("cases/<case:number>/accept/", moves.case_accept, name="case-accept"),
    path("cases/<case:number>/take/", moves.case_take, name="case-take"),
    path("cases/<case:number>/give-back/", moves.case_give_back, name="case-give-back"),
    path("cases/<case:number>/incomplete/", moves.case_incomplete, name="case-incomplete"),
    path("cases/<case:number>/return/", moves.case_return, name="case-return"),
    path("cases/<case:number>/suspend/", moves.case_suspend, name="case-suspend"),
    path("cases/<case:number>/reaccredit/", moves.case_reaccredit, name="case-reaccredit"),
    path("cases/<case:number>/withdraw/", moves.case_withdraw, name="case-withdraw"),
    path("cases/<case:number>/decide/", decisions.case_decide, name="case-decide"),
    path("cases/<case:number>/sign/", decisions.case_sign, name="case-sign"),
    path("certificates/<str:number>.pdf", certificates.certificate_download, name="certificate-download"),
    path("certificates/<str:number>/", certificates.certificate_detail, name="certificate-detail"),
    path("certificates/<str:number>/withdraw/", moves.certificate_withdraw, name="certificate-withdraw"),
    path("check/", check.certificate_find, name="certificate-find"),
    path("check/<str:number>/", check.certificate_check, name="certificate-check"),
]
