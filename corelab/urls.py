"""The address plan; packages above are named as strings, so no arrow turns back."""

from django.urls import include, path

urlpatterns = [
    path("", include("corelab.site_urls")),
    path("", include("qc.urls")),
    path("accounts/", include("allauth.account.urls")),
]

handler404 = "corelab.views.not_found"
handler500 = "corelab.views.our_error"
