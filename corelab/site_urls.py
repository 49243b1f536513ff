"""Pages of the core app."""

from django.urls import path

from corelab.views import entrance, home

app_name = "corelab"
urlpatterns = [
    path("", home.home_show, name="home-show"),
    path("search/", home.home_show, name="search-show"),
    path("help/", home.home_show, name="help-show"),
    path("account/", home.home_show, name="account-edit"),
    path("account/stay/", entrance.session_stay, name="session-stay"),
]
