"""Pages of the quality-control app."""

from django.urls import path

from qc.receivers import http_upload

app_name = "qc"
urlpatterns = [
    path("upload/", http_upload.upload_create, name="upload-create"),
    path("upload/<uuid:upload_id>/", http_upload.upload_patch, name="upload-patch"),
]
