"""Pages of the core app."""

from django.urls import path

from corelab.views import audit_log, entrance, guide, home, people, register, search, work

app_name = "corelab"
urlpatterns = [
    path("", home.home_show, name="home-show"),
    path("work/", work.work_list, name="work-list"),
    path("work/news/", work.work_news, name="work-news"),
    path("search/", search.search_show, name="search-show"),
    path("help/", guide.help_show, name="help-show"),
    path("help/<slug:topic>/", guide.help_show, name="help-topic"),
    # the register
    path("sites/", register.site_list, name="site-list"),
    path("sites/add/", register.site_add, name="site-add"),
    path("sites/<slug:code>/", register.site_detail, name="site-detail"),
    path("sites/<slug:code>/edit/", register.site_edit, name="site-edit"),
    path("sites/<slug:code>/scanners/add/", register.scanner_add, name="scanner-add"),
    path("sites/<slug:code>/calibrators/add/", register.calibrator_add, name="calibrator-add"),
    path("calibrators/<int:pk>/edit/", register.calibrator_edit, name="calibrator-edit"),
    path("scanners/<int:pk>/", register.scanner_detail, name="scanner-detail"),
    path("scanners/<int:pk>/edit/", register.scanner_edit, name="scanner-edit"),
    path("scanners/<int:pk>/reconstructions/add/", register.reconstruction_add, name="reconstruction-add"),
    path("reconstructions/<int:pk>/edit/", register.reconstruction_edit, name="reconstruction-edit"),
    path("trials/", register.trial_list, name="trial-list"),
    path("trials/add/", register.trial_add, name="trial-add"),
    path("trials/<slug:code>/", register.trial_detail, name="trial-detail"),
    path("trials/<slug:code>/edit/", register.trial_edit, name="trial-edit"),
    # people
    path("people/", people.person_list, name="person-list"),
    path("people/invite/", people.person_invite, name="person-invite"),
    path("people/<uuid:pk>/", people.person_detail, name="person-detail"),
    path("people/<uuid:pk>/roles/add/", people.membership_grant, name="membership-grant"),
    path("people/<uuid:pk>/link/", people.person_link, name="person-link"),
    path("people/<uuid:pk>/end/", people.person_end, name="person-end"),
    path("people/<uuid:pk>/open/", people.person_open, name="person-open"),
    path("roles/<int:pk>/end/", people.membership_end, name="membership-end"),
    path("invitation/<slug:uid>/<str:token>/", entrance.invitation_accept, name="invitation-accept"),
    # oneself
    path("account/", people.account_edit, name="account-edit"),
    path("account/stay/", entrance.session_stay, name="session-stay"),
    # oversight
    path("audit/", audit_log.audit_list, name="audit-list"),
    path("audit/verify/", audit_log.audit_verify, name="audit-verify"),
    path("audit/export/", audit_log.audit_export, name="audit-export"),
]
