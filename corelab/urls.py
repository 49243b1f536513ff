"""The address plan; packages above are named as strings, so no arrow turns back."""

from allauth.account import views as allauth_views
from django.urls import include, path

from corelab.views import entrance

# Of allauth only what a closed house needs, under the names it knows: no sign-up, no mail, no reset by mail.
accounts = [
    path("login/", allauth_views.login, name="account_login"),
    path("logout/", allauth_views.logout, name="account_logout"),
    path("inactive/", allauth_views.account_inactive, name="account_inactive"),
    path("signup/", entrance.closed, name="account_signup"),
    path("password/", entrance.password_change, name="account_change_password"),
    path("reauthenticate/", allauth_views.reauthenticate, name="account_reauthenticate"),
]

urlpatterns = [
    path("", include("corelab.site_urls")),
    path("", include("qc.urls")),
    path("", include("accreditation.urls")),
    path("accounts/", include(accounts)),
]

handler400 = "corelab.views.bad_request"
handler403 = "corelab.views.not_found"
handler404 = "corelab.views.not_found"
handler500 = "corelab.views.our_error"
